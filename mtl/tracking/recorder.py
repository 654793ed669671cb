"""Recorder: what the trainer reports becomes one MLflow run; MLflow's absence is never a reason to stop or to wait.

Everything is buffered on disk first and sent when MLflow answers, at most every few seconds while training.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mtl.errors import TransientError
from mtl.tracking.buffer import MetricBuffer
from mtl.tracking.client import Tracking

_log = logging.getLogger(__name__)
_EVERY = 10.0  # seconds between two sendings
_BACK_OFF = 60.0  # seconds to leave an absent MLflow alone


class Recorder:
    """Records one training run.

    connect: opens the tracking (may raise TransientError). folder: where buffers are kept, one file a run identity.
    """

    def __init__(
        self, connect: Callable[[], Tracking], folder: Path, *, experiment: str, params: Mapping[str, Any]
    ) -> None:
        self._connect = connect
        self._folder = folder
        self._experiment = experiment
        self._params = params
        self._identity = ""
        self._buffer: MetricBuffer | None = None
        self._next = 0.0

    def start(self, identity: str) -> None:
        """The run is known from here on."""
        self._identity = identity
        self._buffer = MetricBuffer(self._folder / f"{identity}.jsonl")

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the values of a step, and send what is due if the time has come."""
        if self._buffer is None:
            return
        self._buffer.append(step, values)
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (_EVERY if self._try() else _BACK_OFF)

    def close(self, *, status: str) -> None:
        """Send the rest and close the run; what cannot be sent stays in the buffer for the next try."""
        if self._buffer is not None and self._try():
            tracking = self._connect()
            run = tracking.find_run(self._identity, experiment=self._experiment)
            if run is not None:
                tracking.finish(run, status=status)

    def _try(self) -> bool:
        assert self._buffer is not None
        try:
            tracking = self._connect()
            run = tracking.run_for(self._identity, experiment=self._experiment)
            tracking.log_params(run, self._params)
            self._buffer.flush(tracking, run)
        except TransientError as error:
            _log.warning("MLflow does not answer; metrics wait on disk: %s", error.message)
            return False
        return True
