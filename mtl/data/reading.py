"""From sources to records: every row is either a record in its bucket or a line of the quarantine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from typing import Any, TextIO

from mtl.data.buckets import Buckets
from mtl.errors import DataError
from mtl.fingerprint import sha256_json
from mtl.sources.base import RawRow, Source
from mtl.task import BadRow, Task

_LOOK = 100
"""Rows of a file in which a column must turn up once."""

Progress = Callable[[str, int], None]
"""(stage, rows or files done in it)."""


@dataclass(slots=True)
class Quarantine:
    """Rows that were refused: one line each beside the data set, counted by reason, split and source."""

    file: TextIO
    reasons: Counter[str] = field(default_factory=Counter)
    splits: Counter[tuple[str, str]] = field(default_factory=Counter)
    sources: Counter[int] = field(default_factory=Counter)
    hashes: list[str] = field(default_factory=list)

    def add(self, bad: BadRow, *, task: str, split: str, origin: str, source: int, content: str = "") -> None:
        """`content` is a hash of the row, so that a changed row counts as one even if it is refused again."""
        line = {"task": task, "split": split, "reason": bad.reason, "field": bad.field, "origin": origin}
        self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.reasons[bad.reason] += 1
        self.splits[task, split] += 1
        self.sources[source] += 1
        self.hashes.append(sha256_json([task, split, bad.reason, bad.field, content])[:32])


def check_columns(rows: Iterable[RawRow], columns: Iterable[str], uri: str) -> Iterator[RawRow]:
    """The same rows; DataError where a file has none with a needed column."""
    for file, group in groupby(rows, key=lambda row: row.file):
        rest = iter(group)
        head = list(islice(rest, _LOOK))
        got = {str(name) for row in head if not isinstance(row.value, BadRow) for name in row.value}
        missing = [column for column in columns if column not in got]
        if got and missing:
            noun = "column" if len(missing) == 1 else "columns"
            raise DataError(
                f"{file} of {uri}: no {noun} {', '.join(map(repr, missing))}; got {', '.join(sorted(got))}",
                field="data.sources",
                hint="rename the columns of the file, or read it with another task",
            )
        yield from chain(head, rest)


def read_source(
    task: Task,
    source: Source,
    *,
    number: int,
    uri: str,
    buckets: Buckets,
    quarantine: Quarantine,
    progress: Progress,
) -> Counter[str]:
    """Puts every row of a source into a bucket or the quarantine; rows by split."""
    rows: Counter[str] = Counter()
    for split in source.splits():
        for raw in check_columns(source.rows(split), task.columns, uri):
            rows[split] += 1
            if rows.total() % 1000 == 0:
                progress("read", 1000)
            try:
                if isinstance(raw.value, BadRow):
                    raise raw.value
                record = task.read(raw.value)
            except BadRow as bad:
                content = "" if isinstance(raw.value, BadRow) else _row_hash(raw.value, task.columns)
                quarantine.add(bad, task=task.name, split=split, origin=raw.origin, source=number, content=content)
            else:
                buckets.add(task, record, split=split, origin=raw.origin, source=number)
    return rows


def _row_hash(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """Hash of a row's own columns; `repr` because a refused row may hold anything."""
    return sha256_json([ascii(row.get(column)) for column in columns])
