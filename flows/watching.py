"""Progress of a step in Prefect: a line in the log for every tenth, and a progress artifact that moves.

Prefect's engine asks after its run only when a step ends. So a run that was deleted is noticed here, or it would go on
unseen for hours; so is a cancelled one whose worker did not reach the process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run

from flows.timing import timed
from mtl.errors import PermanentError
from mtl.progress import ProgressEvent, subscribe
from mtl.settings import prefect_settings

_SECONDS_BETWEEN_UPDATES = 5.0
SECONDS_BETWEEN_LOOKS = 15.0
_LOOKS = 2
"""So often a run must be gone before it counts as deleted (a proxy may say so once of a server that restarts), or
cancelled before it is stopped here (its worker does so first, as a rule)."""
_MOST_WARNINGS = 100


@contextmanager
def watched(stage: str) -> Iterator[None]:
    """Show what the block reports for `stage` in the running step: progress as log and artifact, warnings as log."""
    forwarder = _Forwarder()
    logger = logging.getLogger("mtl")
    logger.addHandler(forwarder)
    try:
        with timed(stage), subscribe(_Watcher(stage)):
            yield
    finally:
        logger.removeHandler(forwarder)
        forwarder.finish()


class _Forwarder(logging.Handler):
    """Passes warnings of the library, the trainer's among them, to the step's log; of a flood only the first ones."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._log = get_run_logger()
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._count += 1
        if self._count <= _MOST_WARNINGS:
            self._log.log(record.levelno, "%s", record.getMessage())

    def finish(self) -> None:
        """Say how many were kept back."""
        if self._count > _MOST_WARNINGS:
            self._log.warning("%d more warnings were not shown", self._count - _MOST_WARNINGS)


class _Watcher:
    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._log = get_run_logger()
        self._artifact: UUID | None = None
        self._tenth = -1
        self._updated = 0.0
        self._looked = time.monotonic()
        self._gone = 0

    def __call__(self, moment: ProgressEvent) -> None:
        if moment.stage != self._stage:
            return
        share = moment.done / moment.total if moment.total else 0.0
        if int(10 * share) > self._tenth:
            self._tenth = int(10 * share)
            counted = f"{moment.done}/{moment.total} " if moment.total else ""  # 0: nobody knows yet
            self._log.info("%s %s%s", self._stage, counted, moment.note)
        now = time.monotonic()
        if now - self._looked >= SECONDS_BETWEEN_LOOKS:
            self._looked = now
            self._look_for_run()
        if now - self._updated >= _SECONDS_BETWEEN_UPDATES or share >= 1:
            self._updated = now
            self._show(100 * share, moment.note)

    def _look_for_run(self) -> None:
        """Errors: PermanentError for a run that was deleted or cancelled. A server that is away says nothing of it."""
        name = flow_run.get_id()
        if name is None or prefect_settings().embedded:
            return
        try:
            ended = _ended(UUID(name))
        except (httpx.HTTPError, PrefectHTTPStatusError):
            return
        self._gone = self._gone + 1 if ended else 0
        if self._gone >= _LOOKS:
            raise PermanentError(
                f"flow run {name} was {ended} in Prefect, so {self._stage} was stopped",
                hint="a new run of the same configuration resumes from the last checkpoint",
            )

    def _show(self, percent: float, note: str) -> None:
        if self._artifact is None:
            made = create_progress_artifact(progress=percent, key=f"{self._stage}-progress", description=note)
            self._artifact = made if isinstance(made, UUID) else None
        else:
            update_progress_artifact(self._artifact, progress=percent, description=note)


def _ended(run: UUID) -> str | None:
    """How somebody ended a run: `deleted` or `cancelled`; None if nobody did."""
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run).state
    except ObjectNotFound:
        return "deleted"
    return "cancelled" if state is not None and state.is_cancelled() else None
