"""Events: one JSON object a line from the trainer process to whoever started it.

start   identity, step, max_steps, resumed_from, tasks, trainable, parameters, examples
step    step, loss, loss_by_task, learning_rate, tokens_per_second, eta
commit  step
done    the result of the run
error   kind, message, field, hint, exit_code
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


class EventWriter:
    """Writes events to standard output; a reader that went away is no reason to stop training."""

    def __init__(self) -> None:
        # Libraries print to standard output too; events keep the pipe for themselves.
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def emit(self, event: str, **values: Any) -> None:
        try:
            self._out.write(json.dumps({"event": event, **values}) + "\n")
        except BrokenPipeError:
            self._out = open(os.devnull, "w")  # noqa: SIM115, PTH123


def parse_event(line: str) -> dict[str, Any] | None:
    """The event in a line, or None for anything else."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and "event" in value else None
