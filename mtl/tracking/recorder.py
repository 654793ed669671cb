"""Recorder: what the trainer reports becomes one MLflow run; MLflow's absence is never a reason to stop or to wait.

Everything is buffered on disk first and sent when MLflow answers, at most every few seconds while training.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtl.errors import InputError, MtlError
from mtl.tracking.base import Tracker
from mtl.tracking.buffer import MetricBuffer

_log = logging.getLogger(__name__)
EVERY_SECONDS = 10.0  # seconds between two sendings
BACK_OFF_SECONDS = 60.0  # seconds to leave an absent MLflow alone


class Recorder:
    """Records one training run.

    connect: opens the tracker (may raise TransientError). folder: where buffers are kept, one file a run identity.
    at_end: called with the tracker and the run's id once all metrics of a finished run are sent.
    """

    def __init__(
        self,
        connect: Callable[[], Tracker],
        folder: Path,
        *,
        experiment: str,
        params: Mapping[str, Any],
        at_end: Callable[[Tracker, str], None] | None = None,
    ) -> None:
        self._connect = connect
        self._folder = folder
        self._experiment = experiment
        self._params = params
        self._identity = ""
        self._finished = at_end
        self._tags: Mapping[str, str] = {}
        self._buffer: MetricBuffer | None = None
        self._run = ""
        self._next = 0.0

    def start(self, identity: str, *, tags: Mapping[str, str] | None = None) -> None:
        """The run is known from here on. tags: what its page must say beside its parameters.

        Again with the same identity, it changes nothing.
        """
        if identity == self._identity:
            return
        self._identity = identity
        self._tags = tags or {}
        self._buffer = MetricBuffer(self._folder / f"{identity}.jsonl")

    def check(self) -> None:
        """Before the first step. Errors: InputError for an experiment that was deleted: nothing could be registered.

        An MLflow that is away, or refuses, is no reason to stop.
        """
        try:
            self._connect().check_experiment(self._experiment)
        except InputError:
            raise
        except MtlError as error:
            self._next = time.monotonic() + BACK_OFF_SECONDS
            _log.warning("MLflow could not be asked for experiment %s: %s", self._experiment, error.message)

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the values of a step, and send what is due if the time has come."""
        if self._buffer is None:
            return
        self._buffer.append(step, values)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (EVERY_SECONDS if self._try() else BACK_OFF_SECONDS)

    def close(self, *, status: str) -> None:
        """Send the rest and close the run; what cannot be sent stays in the buffer for the next try.

        Where there is nothing to tell, as of a run that was found finished, MLflow is not asked.
        """
        if self._buffer is not None and len(self._buffer) and self._try(status=status):
            self._buffer.discard()  # a later try asks MLflow what it has

    def _try(self, *, status: str | None = None) -> bool:
        """Send what is due and, with a status, close the run. False: MLflow does not answer, or refuses."""
        assert self._buffer is not None
        try:
            tracker = self._connect()
            run = tracker.run_for(self._identity, experiment=self._experiment, tags=self._tags)
            tracker.log_params(run, self._params)
            if self._run not in ("", run):
                _log.warning("run %s was deleted in MLflow; %s has its metrics from the first step", self._run, run)
            self._run = run
            self._buffer.flush(tracker, run)
            if status == "FINISHED" and self._finished is not None:
                self._finished(tracker, run)
            if status is not None:
                tracker.finish(run, status=status)
        except MtlError as error:  # a refusal too: registration will say it again, with the trained model at hand
            _log.warning("MLflow did not take the metrics; they wait on disk: %s", error.message)
            return False
        return True


def send_kept(tracker: Tracker, run_id: str, folder: Path, *, identity: str) -> int:
    """Metrics of a finished training that MLflow did not take while it ran: sent now; how many values that was.

    folder: as the Recorder's. Raises TransientError while MLflow is away; the values stay where they are.
    """
    path = folder / f"{identity}.jsonl"
    if not path.exists():
        return 0
    buffer = MetricBuffer(path)
    sent = buffer.flush(tracker, run_id)
    buffer.discard()
    return sent
