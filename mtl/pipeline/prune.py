"""Prune: delete what no commit of any run has needed for a day."""

from __future__ import annotations

import logging
from typing import Any

from mtl.checkpoints import prune as checkpoints
from mtl.errors import MtlError
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)


def prune_checkpoints(workspace: Workspace, *, delete: bool) -> dict[str, Any]:
    """What is not needed; deleted if asked. The document of `mtl checkpoints prune --json`."""
    store = workspace.store
    plan = checkpoints.plan_prune(store)
    deleted = checkpoints.prune(store, plan) if delete else 0
    return {"store": store.uri, **plan.to_dict(), "run": None, "deleted": deleted, "dry_run": not delete}


def prune_afterwards(workspace: Workspace) -> dict[str, Any]:
    """`prune_checkpoints` at the end of a retrain: its failure is a warning, for the retrain is done."""
    try:
        return prune_checkpoints(workspace, delete=True)
    except MtlError as error:
        _log.warning("old checkpoints were not pruned, the next retrain tries again: %s", error.message)
        return {"deleted": 0, "failed": error.message}
