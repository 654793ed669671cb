"""The worker of a stack on this machine: which settings its runs have."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from mtl.doctor.result import CheckResult, ok, warning
from mtl.errors import NotFoundError
from mtl.settings import Settings
from mtl.settings.file import NAME, read_settings
from mtl.settings.table import KNOWN
from mtl.stack import supervisor
from mtl.stack.state import open_stack


def worker(settings: Settings) -> Iterator[CheckResult]:
    """Settings of the running worker, and those of the settings file that it does not have yet."""
    try:
        found = supervisor.states(open_stack(settings.home)).get("worker", {})
        environ = psutil.Process(found["pid"]).environ() if found.get("pid") else None
    except (NotFoundError, psutil.Error):
        return
    if environ is None:
        return
    wanted = read_settings(settings.home / NAME)
    stale = [name for name, value in wanted.items() if environ.get(name) != value]
    if stale:
        detail = f"the running worker does not have the current value of {', '.join(stale)}"
        yield warning("worker", detail, f"run mtl stack down, then mtl stack up, so that it reads {NAME} again")
    names = sorted(name for name in KNOWN if name.startswith("MTL_") and environ.get(name))
    yield ok("worker", f"runs with {', '.join(names)}")
