"""A process that must not outlive the one that started it, whatever ends that one: SIGKILL leaves it no last word."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil

_SECONDS_BETWEEN_LOOKS = 0.25


def when_gone(pid: int, act: Callable[[], object]) -> None:
    """Call `act` once, in a thread of its own, as soon as process `pid` has ended, or now if it is gone already."""
    threading.Thread(target=_wait, args=(pid, act), daemon=True, name=f"when-{pid}-is-gone").start()


def _wait(pid: int, act: Callable[[], object]) -> None:
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    except psutil.NoSuchProcess:
        pass
    act()
