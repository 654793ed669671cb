"""Prune: delete what no commit of any run has needed for a day, answers of models that nobody took for 30 days, and
parts of the request log beyond their retention."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from mtl.checkpoints import prune as checkpoints
from mtl.errors import MtlError, PermanentError
from mtl.evaluation.kept import delete_unused, unused
from mtl.settings.traffic import TrafficSettings, traffic_settings
from mtl.store.base import ObjectInfo, ObjectStore
from mtl.traffic import retention
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is not needed in a store, and how many objects of it were deleted; dry_run: none was to be."""

    store: str
    plan: checkpoints.PrunePlan
    deleted: int
    dry_run: bool

    def to_json(self) -> dict[str, Any]:
        """The document of `mtl checkpoints prune --json`."""
        found = {"run": None, "deleted": self.deleted, "dry_run": self.dry_run}
        return {"store": self.store, **self.plan.to_dict(), **found}


def prune_store(store: ObjectStore, *, delete: bool, traffic: TrafficSettings | None = None) -> Pruned:
    """What nobody needs; deleted if asked. traffic: retention of the request log; by default the environment's."""
    plan, answers, logged = checkpoints.plan_prune(store), _unused(store), _expired(store, traffic)
    deleted = 0
    if delete:
        deleted = checkpoints.prune(store, plan) + delete_unused(store, answers) + retention.remove(store, logged)
    whole = replace(plan, objects=(*plan.objects, *answers, *logged))
    return Pruned(store.uri, whole, deleted, dry_run=not delete)


def _unused(store: ObjectStore) -> list[ObjectInfo]:
    try:
        return unused(store)
    except PermanentError as error:  # an evaluation goes on without kept answers too
        _log.warning("answers that nobody needs are not looked for: %s", error.message)
        return []


def _expired(store: ObjectStore, traffic: TrafficSettings | None) -> list[ObjectInfo]:
    its = traffic or traffic_settings()
    try:
        return retention.expired(store, days=its.days, max_bytes=its.max_bytes)
    except PermanentError as error:  # a training worker need not be allowed to read what people sent
        _log.warning("old parts of the request log are not looked for: %s", error.message)
        return []


def prune_checkpoints(workspace: Workspace, *, delete: bool) -> Pruned:
    """`prune_store` of a workspace."""
    return prune_store(workspace.store, delete=delete)


def prune_afterwards(workspace: Workspace) -> Pruned | None:
    """`prune_checkpoints` at the end of a retrain: its failure is a warning, for the retrain is done."""
    try:
        return prune_checkpoints(workspace, delete=True)
    except MtlError as error:
        _log.warning("old checkpoints and answers were not pruned, the next retrain tries again: %s", error.message)
        return None
