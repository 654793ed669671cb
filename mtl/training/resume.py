"""Where a run goes on from: its own newest commit, that of a compatible run, or the beginning."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.related import Lineage, ResumeSource, keep_lineage, read_lineage
from mtl.store.base import ObjectStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """folder: the files to go on from, None at step 0. lineage: of a run that is no longer bit-exact."""

    step: int
    folder: Path | None
    lineage: Lineage | None
    source: ResumeSource

    def to_dict(self) -> dict[str, Any]:
        """What events and results say of it."""
        passed_by = self.source.passed_by
        return {
            "resumed_from": self.step or None,
            "bit_exact": self.lineage is None,
            "continued_from": self.lineage.to_dict() if self.lineage else None,
            "passed_by": {"identity": passed_by.sha256, "differing": list(self.source.unlike)} if passed_by else None,
        }


def start_run(store: ObjectStore, checkpoints: CheckpointStore, source: ResumeSource, folder: Path) -> Start:
    """Restore into `folder` what the run goes on from; the run must be owned.

    Another run's commit is made this run's first one, so that it needs the other no longer.
    """
    run = checkpoints.identity.sha256
    if source.passed_by is not None:
        _log.warning(
            "run %s of this name is unfinished and differs in %s: this is run %s of its own, and nothing is to be done",
            source.passed_by.sha256[:12],
            ", ".join(source.unlike),
            run[:12],
        )
    if source.identity == checkpoints.identity:
        own = checkpoints.restore(folder)
        if own is None:
            keep_lineage(store, run, None)
            return Start(0, None, None, source)
        return Start(own.commit.step, folder, read_lineage(store, run), source)
    other = CheckpointStore(store, source.identity, "reader").restore(folder)
    if other is None:
        return Start(0, None, None, source)
    lineage = Lineage(source.identity.sha256, other.commit.step, source.differing)
    fields = ", ".join(source.differing)
    _log.warning("going on from run %s, NO LONGER BIT-EXACT: %s differ", lineage.source[:12], fields)
    keep_lineage(store, run, lineage)
    checkpoints.commit(lineage.step, folder)
    return Start(lineage.step, folder, lineage, source)
