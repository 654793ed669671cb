"""How long each step of a run took, and what that cost: added up over its tries, also after a restart of the run.

Kept as lines in $MTL_HOME/timings, because Prefect's server loses a state of a step now and then, and a suspended or
killed run starts in a new process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run

from mtl import layout
from mtl.errors import DamageError
from mtl.seal import seal, unseal
from mtl.settings import load_settings
from mtl.settings.service import cost_per_hour


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Measure the block as (a try of) `step` of the running flow."""
    started = time.monotonic()
    completed = False
    try:
        yield
        completed = True
    finally:
        line = {"step": step, "seconds": round(time.monotonic() - started, 3), "completed": completed}
        with suppress(OSError):  # a full disk has its own error, from whoever needs the disk
            file = _file()
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as out:
                out.write(seal(line) + b"\n")


def spent() -> dict[str, dict[str, Any]]:
    """step -> {seconds, tries, cost} of the running flow, in order of first try. cost: None without a rate."""
    rate = cost_per_hour()
    found: dict[str, dict[str, Any]] = {}
    for line in _lines():
        entry = found.setdefault(line["step"], {"seconds": 0.0, "tries": 0, "cost": None})
        entry["seconds"] = round(entry["seconds"] + line["seconds"], 3)
        entry["tries"] += 1
        if rate is not None:
            entry["cost"] = round(entry["seconds"] / 3600 * rate, 6)
    return found


def forget() -> None:
    """The run is over, its times are kept elsewhere."""
    with suppress(OSError):
        _file().unlink()


def _file() -> Path:
    return layout.home_times(load_settings().home, flow_run.get_id() or "none")


def _lines() -> list[dict[str, Any]]:
    try:
        lines = _file().read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with suppress(DamageError):  # cut off by a kill, or rotten: that try's time is missing
            found.append(unseal(line, str(_file()), hint="the time of one attempt is missing"))
    return found
