"""Entry of the trainer process: `python -m mtl.training PLAN.json`.

Exit codes: 0 done, 2 bad input, 75 another owner took the run over, 143 stopped on request, 1 anything else. The last
event says which and why.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path

from mtl.errors import MtlError
from mtl.training.events import EventWriter
from mtl.training.plan import TrainPlan


def main(plan_file: str) -> int:
    """Run the plan in a file; the exit code of the process."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    events = EventWriter()
    plan = TrainPlan(**json.loads(Path(plan_file).read_text(encoding="utf-8")))
    try:
        from mtl.training.run import run

        events.emit("done", **run(plan, events))
        return 0
    except MtlError as error:
        events.emit("error", exit_code=error.exit_code, **_fields(error))
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        events.emit(
            "error", exit_code=1, kind="crash", message=f"{type(error).__name__}: {error}", field=None, hint=None
        )
        return 1


def _fields(error: MtlError) -> dict[str, object]:
    document = error.to_dict()["error"]
    return document if isinstance(document, dict) else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
