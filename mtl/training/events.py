"""Events: one JSON object a line from the trainer process to whoever started it.

start   identity, step, max_steps, resumed_from, continued_from, differing, passed_by, tasks, trainable, parameters, ...
step    step, loss, loss_by_task, learning_rate, tokens_per_second, system, eta
validation  step, max_steps, loss_by_task, best (step of the best one so far)
commit  step
log     level, message: what the library warned of
done    the result of the run
error   kind, message, field, hint, exit_code, cause
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from typing import Any


class EventWriter:
    """Writes events to standard output; a reader that went away is no reason to stop training.

    quiet: write errors only, as the ranks beside the leader do.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        # Libraries print to standard output too; events keep the pipe for themselves.
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
        self._lock = threading.Lock()  # commits are reported by the thread that makes them
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def emit(self, event: str, **values: Any) -> None:
        if self._quiet and event != "error":
            return
        with self._lock:
            try:
                self._out.write(json.dumps({"event": event, **values}) + "\n")
            except BrokenPipeError:
                self._out = open(os.devnull, "w")  # noqa: SIM115, PTH123


class EventLog(logging.Handler):
    """Makes log records events, so that a warning reaches whoever watches the flow."""

    def __init__(self, events: EventWriter) -> None:
        super().__init__(logging.WARNING)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        self._events.emit("log", level=record.levelno, message=record.getMessage())


def parse_event(line: str) -> dict[str, Any] | None:
    """The event in a line, or None for anything else."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "event" in value else None
