"""Prune: delete what no commit of any run has needed for a day, and answers of models that nobody took for 30 days."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from mtl.checkpoints import prune as checkpoints
from mtl.errors import MtlError, PermanentError
from mtl.evaluation.kept import delete_unused, unused
from mtl.store.base import ObjectInfo, ObjectStore
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


def prune_store(store: ObjectStore, *, delete: bool) -> Pruned:
    """What nobody needs; deleted if asked."""
    plan, answers = checkpoints.plan_prune(store), _unused(store)
    deleted = checkpoints.prune(store, plan) + delete_unused(store, answers) if delete else 0
    whole = replace(plan, objects=(*plan.objects, *answers))
    return Pruned(store.uri, whole, deleted, dry_run=not delete)


def _unused(store: ObjectStore) -> list[ObjectInfo]:
    try:
        return unused(store)
    except PermanentError as error:  # an evaluation goes on without kept answers too
        _log.warning("answers that nobody needs are not looked for: %s", error.message)
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
