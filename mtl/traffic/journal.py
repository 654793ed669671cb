"""Journal: how many answers a server took for its request log, and how many of them are settled, on its own disk.

The two numbers stand in a small mapped file, so that counting is a write to memory that outlives the process. A server
that ends in good order removes its file. What a killed one leaves says how many answers were lost with it; the next
server of this machine reads it (`left_behind`).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_NUMBERS = struct.Struct("<QQ")
_SUFFIX = ".count"


class Journal:
    """The file of one server, locked while it lives. Errors: OSError where it cannot be made."""

    def __init__(self, folder: Path, server: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{server}{_SUFFIX}"
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        os.write(self._file, bytes(_NUMBERS.size))  # its room on the disk, without which a mapped write could fail
        self._map = mmap.mmap(self._file, _NUMBERS.size)

    def note(self, accepted: int, settled: int) -> None:
        """So many answers were taken, and so many of them are written or were reported as lost."""
        _NUMBERS.pack_into(self._map, 0, accepted, settled)

    def close(self, *, remove: bool) -> None:
        """remove: nothing is lost. Otherwise the next server reports what is."""
        if remove:
            self._path.unlink(missing_ok=True)
        self._map.close()
        os.close(self._file)


def left_behind(folder: Path) -> Iterator[tuple[str, int]]:
    """(name of a server that was killed, answers that were lost with it), each only once."""
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # it is running
            data = file.read(_NUMBERS.size)
            if len(data) < _NUMBERS.size:
                continue  # it is being made
            path.unlink(missing_ok=True)
        accepted, settled = _NUMBERS.unpack(data)
        if accepted > settled:
            yield path.name.removesuffix(_SUFFIX), accepted - settled
