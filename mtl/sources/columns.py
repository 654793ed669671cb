"""Columns of a source under the names that a task reads: `{article: context, options: [A, B, C, D], answer: label}`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mtl.fingerprint import sha256_json
from mtl.sources.base import WHOLE, Chunk, Description, Part, RawRow, Source
from mtl.task import BadRow

Names = Mapping[str, str | Sequence[str]]
"""Column that the task reads -> column of the source, or several that make a list."""


def read_names(needed: frozenset[str] | None, names: Names) -> frozenset[str] | None:
    """The source's columns that have to be read for the task's; None for all."""
    if needed is None:
        return None
    return frozenset(its for name in needed for its in _several(names.get(name, name)))


def _several(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


class RenamedSource:
    """Another source's rows with the mapped columns; the others stay as they are. A mapped column that a row has
    nothing of is missing from it, whatever the row has under the task's own name."""

    def __init__(self, source: Source, names: Names) -> None:
        self._source, self._names = source, {name: _several(its) for name, its in names.items()}
        self._lists = {name for name, its in names.items() if not isinstance(its, str)}
        self.splits, self.size, self.describe, self.stamp = source.splits, source.size, source.describe, source.stamp
        self.notes, self.chunks, self.local = source.notes, source.chunks, source.local

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        return map(self._of, self._source.rows(split, part))

    def read(self, chunk: Chunk) -> Iterator[RawRow]:
        return map(self._of, self._source.read(chunk))

    def _of(self, row: RawRow) -> RawRow:
        return row if isinstance(row.value, BadRow) else replace(row, value=self._renamed(row.value))

    def _renamed(self, value: Mapping[str, Any]) -> dict[str, Any]:
        row = {name: its for name, its in value.items() if name not in self._names}
        for name, its in self._names.items():
            if any(one in value for one in its):
                row[name] = [value.get(one) for one in its] if name in self._lists else value[its[0]]
        return row


class MarkedSource:
    """Another source, told apart by `marks`: what the configuration says of how its bytes become rows."""

    def __init__(self, source: Source, marks: Mapping[str, Any]) -> None:
        self._source, self._marks = source, dict(marks)
        self.splits, self.size, self.rows, self.notes = source.splits, source.size, source.rows, source.notes
        self.chunks, self.read, self.local = source.chunks, source.read, source.local

    def describe(self) -> Description:
        described = self._source.describe()
        return replace(described, sha256=sha256_json([described.sha256, self._marks]))

    def stamp(self) -> str:
        return sha256_json([self._source.stamp(), self._marks])
