"""Where a text file is cut into chunks: where its lines say so, not at equal distances. Behind a row that was put in or
taken out, the cuts are those of before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

TARGET = 2**19
"""Bytes of a chunk of a text file, about."""
LEAST, MOST = TARGET // 8, TARGET * 4
HEAD_ROWS = 100
"""The first chunk of a file has as many rows, by which it is known whether the columns are there."""
_WINDOW = 2**24
_LONG = 2**24
"""Bytes of a line from which on a file is not cut."""
_LINE, _QUOTE = 0x0A, 0x22


@dataclass(frozen=True, slots=True)
class Cut:
    """Whole lines of a file: bytes from start to stop, with so many lines before them; content: their sha256."""

    start: int
    stop: int
    first: int
    content: str


def cut_lines(file: BinaryIO, start: int = 0, *, quoted: bool = False) -> list[Cut] | None:
    """The lines from `start` on, cut. None for a file with a line that is too long to look at.

    quoted: lines within a pair of quotes stay together.
    """
    cutter = _Cutter(start)
    file.seek(start)
    odd = False
    while window := file.read(_WINDOW):
        if not window.endswith(b"\n"):
            rest = file.readline(_LONG + 1)
            if len(rest) > _LONG:
                return None
            window += rest
        ends, wanted = _ends(window)
        if quoted:
            quotes = np.flatnonzero(np.frombuffer(window, np.uint8) == _QUOTE)
            even = (np.searchsorted(quotes, ends) + odd) % 2 == 0
            odd ^= len(quotes) % 2 == 1
        else:
            even = np.ones(len(ends), dtype=bool)
        cutter.feed(window, ends, ends[even], ends[even & wanted])
    return cutter.close()


class _Cutter:
    """Cuts out of windows that follow each other."""

    def __init__(self, start: int) -> None:
        self._start = self._at = start
        self._first = self._lines = 0
        self._least = 0
        self._digest = hashlib.sha256()
        self._cuts: list[Cut] = []

    def feed(
        self, window: bytes, ends: npt.NDArray[np.int64], allowed: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]
    ) -> None:
        base, view, done = self._at, memoryview(window), 0
        if not self._cuts and not self._least:
            self._least = max(LEAST, _head_bytes(window))
        while True:
            least = self._start + (LEAST if self._cuts else self._least) - base
            found = [*_from(wanted, least), *_from(allowed, max(least, self._start + MOST - base))]
            if not found:
                break
            stop = min(found)
            self._digest.update(view[done:stop])
            self._end(base + stop, self._lines + int(np.searchsorted(ends, stop, "right")))
            done = stop
        self._digest.update(view[done:])
        self._at += len(window)
        self._lines += len(ends)

    def _end(self, stop: int, lines: int) -> None:
        self._cuts.append(Cut(self._start, stop, self._first, self._digest.hexdigest()))
        self._start, self._first, self._digest = stop, lines, hashlib.sha256()

    def close(self) -> list[Cut]:
        if self._at > self._start:
            self._end(self._at, self._lines)
        return self._cuts


def _from(ends: npt.NDArray[np.int64], least: int) -> Iterator[int]:
    """The first of the ends that is not before `least`."""
    place = int(np.searchsorted(ends, least))
    return (int(end) for end in ends[place : place + 1])


def _head_bytes(window: bytes) -> int:
    """Bytes up to the end of the first HEAD_ROWS lines that are not blank."""
    seen = at = 0
    while seen < HEAD_ROWS and at < len(window):
        end = window.find(b"\n", at) + 1 or len(window)
        seen += bool(window[at:end].strip())
        at = end
    return at


_MIX = tuple(map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)))


def _ends(window: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """(where each line ends, whether a chunk should end with it): the longer a line, the more likely, and by nothing
    but its length and some of its bytes."""
    data = np.frombuffer(window, np.uint8)
    ends = np.flatnonzero(data == _LINE) + 1
    if len(window) and (not len(ends) or ends[-1] != len(window)):
        ends = np.append(ends, len(window))
    lengths = np.diff(ends, prepend=0)
    mixed = lengths.astype(np.uint64) * _MIX[0]
    for weight, place in zip(_MIX[1:], (ends - 17, ends - lengths // 2, ends - lengths // 4), strict=True):
        mixed = (mixed ^ _words(data, place)) * weight
        mixed ^= mixed >> np.uint64(29)
    return ends, (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53 < lengths / TARGET


def _words(data: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Eight bytes at each place, as a number."""
    found = np.zeros(len(places), dtype=np.uint64)
    for step in range(8):
        at = np.clip(places + step, 0, len(data) - 1)
        found |= data[at].astype(np.uint64) << np.uint64(8 * step)
    return found
