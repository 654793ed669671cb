"""Progress of a step in Prefect: a line in the log for every tenth, and a progress artifact that moves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from mtl.progress import Moment, listening

_SECONDS_BETWEEN_UPDATES = 5.0


@contextmanager
def watched(stage: str) -> Iterator[None]:
    """Show the progress that the block reports for `stage` in the running step's log and artifact."""
    with listening(_Watcher(stage)):
        yield


class _Watcher:
    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._log = get_run_logger()
        self._artifact: UUID | None = None
        self._tenth = -1
        self._updated = 0.0

    def __call__(self, moment: Moment) -> None:
        if moment.stage != self._stage:
            return
        share = moment.done / moment.total if moment.total else 0.0
        if int(10 * share) > self._tenth:
            self._tenth = int(10 * share)
            self._log.info("%s %d/%d %s", self._stage, moment.done, moment.total, moment.note)
        now = time.monotonic()
        if now - self._updated >= _SECONDS_BETWEEN_UPDATES or share >= 1:
            self._updated = now
            self._show(100 * share, moment.note)

    def _show(self, percent: float, note: str) -> None:
        if self._artifact is None:
            made = create_progress_artifact(progress=percent, key=f"{self._stage}-progress", description=note)
            self._artifact = made if isinstance(made, UUID) else None
        else:
            update_progress_artifact(self._artifact, progress=percent, description=note)
