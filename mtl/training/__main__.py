"""Entry of the trainer process: `python -m mtl.training PLAN.json [COMMAND]`.

COMMAND is the process id of who started it: once that is gone, the trainer stops as if it had been asked to. Its exit
codes are in mtl.training.ending; the last event says what happened and why.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path

from mtl.parent import when_gone
from mtl.settings.environment import set_defaults
from mtl.training.ending import error_event
from mtl.training.events import EventLog, EventWriter
from mtl.training.plan import TrainPlan
from mtl.training.ranks import end, end_with_launcher, is_leader, leave

# transformers imports these if it finds them, for things that this process does not do: about one second of seven.
_UNUSED = ("datasets", "scipy", "sklearn")


def main(plan_file: str, command: int | None = None) -> int:
    """Run the plan in a file; the exit code of the process."""
    end_with_launcher()
    if command is not None:
        when_gone(command, lambda: os.kill(os.getpid(), signal.SIGTERM))
    set_defaults({"TOKENIZERS_PARALLELISM": "false"})
    for library in _UNUSED:
        sys.modules.setdefault(library, None)  # type: ignore[arg-type]  # to an import it is not installed
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    events = EventWriter(quiet=not is_leader())
    logging.getLogger("mtl").addHandler(EventLog(events))
    plan = TrainPlan(**json.loads(Path(plan_file).read_text(encoding="utf-8")))
    try:
        from mtl.training.recipe import run

        result = run(plan, events)
        leave()
        events.emit("done", **(result.to_json() if result else {}))
        return 0
    except Exception as caught:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises for a dead loader, in whatever runs
        words = error_event(caught)
        if words["cause"] == "crash":
            traceback.print_exc()
        events.emit("error", **words)
        return int(words["exit_code"])


if __name__ == "__main__":
    end(main(sys.argv[1], *map(int, sys.argv[2:])))
