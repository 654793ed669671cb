"""A working folder that lives as long as its process: whoever comes later removes what a killed one left behind."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A fresh folder in `parent`, removed at the end. The lock beside it falls with its process, however that ends."""
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / ".lock").open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)  # nobody sweeps between a lock's making and its taking
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(prefix="work-", dir=parent))
        lock = _mark(folder).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        fcntl.flock(door, fcntl.LOCK_UN)
    try:
        yield folder
    finally:
        _remove(folder)
        lock.close()


def _mark(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _sweep(parent: Path) -> None:
    for folder in parent.glob("work-*/"):
        with _mark(folder).open("a") as lock:
            if _free(lock):
                _remove(folder)


def _free(lock: TextIO) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _mark(folder).unlink(missing_ok=True)
