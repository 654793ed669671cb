"""A flow that asks and says what it heard; run as a deployment by tests of the approval."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow

from flows import approval


@flow(name="asking", persist_result=True)
def asking(log: str, hours: float = 1.0) -> dict[str, Any]:
    """Each start of the process leaves a line in `log`."""
    with Path(log).open("a") as out:
        out.write(f"{os.getpid()}\n")
    return asdict(approval.ask("Make it **champion**?", key="v1-against-nothing", hours=hours))
