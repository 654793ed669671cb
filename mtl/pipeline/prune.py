"""Prune: delete what no commit of any run has needed for a day."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from mtl.checkpoints import prune as checkpoints
from mtl.errors import MtlError
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


def prune_checkpoints(workspace: Workspace, *, delete: bool) -> Pruned:
    """What no commit needs; deleted if asked."""
    store = workspace.store
    plan = checkpoints.plan_prune(store)
    return Pruned(store.uri, plan, checkpoints.prune(store, plan) if delete else 0, dry_run=not delete)


def prune_afterwards(workspace: Workspace) -> Pruned | None:
    """`prune_checkpoints` at the end of a retrain: its failure is a warning, for the retrain is done."""
    try:
        return prune_checkpoints(workspace, delete=True)
    except MtlError as error:
        _log.warning("old checkpoints were not pruned, the next retrain tries again: %s", error.message)
        return None
