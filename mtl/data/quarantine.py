"""Rows that were refused: one line each beside the data set, in the order of the sources, and counted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.data.job import Place, Tally
from mtl.fingerprint import sha256_json
from mtl.task import BadRow

_NAMES = ("task", "split", "reason", "field", "origin")


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused row: why, which field, where it stands (a file's name and a line), what was received and expected."""

    reason: str
    field: str
    origin: str
    detail: str = ""

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.reason}: first in {self.origin}, field {self.field}{detail}"


class Quarantine:
    """The refused rows of a task, counted in `tally`."""

    def __init__(self, task: str, tally: Tally) -> None:
        self._task, self._tally = task, tally
        self._lines: list[list[Any]] = []

    def add(self, bad: BadRow, *, split: str, place: Place, origin: str, content: str = "") -> None:
        """`content` is a hash of the row, so that a changed row counts as one even if it is refused again."""
        self._tally.quarantined[split] += 1
        self._tally.reasons[place[0], bad.reason] += 1
        self._lines.append([self._task, list(place), split, bad.reason, bad.field, origin, content, bad.detail])

    def lines(self) -> list[list[Any]]:
        """All of them in the order of the sources."""
        self._lines.sort()
        return self._lines

    def firsts(self, sources: Iterable[int]) -> list[Refused]:
        """The first row of some sources for each reason, in their order."""
        wanted = set(sources)
        lines = (line for line in self.lines() if line[1][0] in wanted)
        return firsts(Refused(reason, field, origin, detail) for *_, reason, field, origin, _, detail in lines)


def collect(quarantines: Iterable[Quarantine], target: Path) -> str:
    """All lines, task by task, as `target`; a hash of what was refused, whatever its order."""
    total = 0
    with target.open("w", encoding="utf-8", errors="surrogateescape") as file:
        for lines in (its.lines() for its in quarantines):
            for task, _, split, reason, field, origin, content, detail in lines:
                line = dict(zip(_NAMES, (task, split, reason, field, origin), strict=True))
                line |= {"detail": detail} if detail else {}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                total += int(sha256_json([task, split, reason, field, content]), 16)
    return f"{total % 2**256:064x}"


def firsts(refused: Iterable[Refused]) -> list[Refused]:
    """The first of each reason, in their order."""
    found: dict[str, Refused] = {}
    for row in refused:
        found.setdefault(row.reason, row)
    return list(found.values())
