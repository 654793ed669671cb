"""First round: from sources to records. Every row is either a record in its bucket or a line of the quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, groupby, islice
from typing import Any

from mtl.data.buckets import BucketWriter
from mtl.data.job import MARK, Job, Place, Tally, split_number
from mtl.data.near import SignatureWriter
from mtl.data.quarantine import Quarantine
from mtl.errors import DataError
from mtl.fingerprint import sha256_json
from mtl.sources.base import BLOCK, Part, RawRow
from mtl.sources.formats import is_document
from mtl.sources.open import open_source
from mtl.task import BadRow, Task
from mtl.tasks.table import get_task
from mtl.tasks.text import passage_key

_LOOK = 100
"""Rows of a file in which a column must turn up once."""

Progress = Callable[[str, int], None]
"""(stage, rows or files done in it)."""


def read_part(job: Job, work: tuple[str, Part]) -> tuple[str, Tally]:
    """Reads a part of the rows of a task's sources into buckets and quarantine; (task, counts)."""
    name, part = work
    reader = _Reader(job, get_task(name), part)
    try:
        for number, config in enumerate(job.sources):
            if config.task == name:
                source = open_source(config, job.recipe.seed, cache=job.cache)
                for split in source.splits():
                    rows = check_columns(source.rows(split, part), reader.task.columns, config.uri)
                    reader.read(number, split, rows)
    finally:
        reader.close()
    reader.quarantine.write(job.refused(f"read-{name}-{part.index:04}"))
    return name, reader.tally


class _Reader:
    """Where the rows of one part go."""

    def __init__(self, job: Job, task: Task, part: Part) -> None:
        self.task, self.tally = task, Tally()
        self.quarantine = Quarantine(task.name, self.tally)
        self._buckets = BucketWriter(job.buckets(task.name), part.index, job.count)
        near = job.recipe.settings["near_duplicates"]
        self._signatures = SignatureWriter(job.signatures(task.name), part.index) if near else None
        self._job, self._worker = job, f"{task.name}-{part.index}"

    def read(self, number: int, split: str, rows: Iterable[RawRow]) -> None:
        seen, order = 0, split_number(split)
        for seen, raw in enumerate(rows, start=1):
            if seen % MARK == 0:
                self._job.mark("read", self._worker)
            place = (number, order, raw.number, raw.line)
            try:
                record = read_row(self.task, raw)
            except BadRow as bad:
                content = "" if isinstance(raw.value, BadRow) else _row_hash(raw.value, self.task.columns)
                self.quarantine.add(bad, split=split, place=place, origin=raw.origin, content=content)
            else:
                self._keep(record, split=split, origin=raw.origin, place=place)
        self.tally.read[number, split] += seen
        self.tally.rows[split] += seen

    def _keep(self, record: Any, *, split: str, origin: str, place: Place) -> None:
        passage = self.task.passage(record)
        key = passage_key(passage)
        self._buckets.add(self.task, record, key=key, split=split, origin=origin, place=place)
        if self._signatures:
            self._signatures.add(key, split, passage)

    def close(self) -> None:
        self._buckets.close()
        if self._signatures:
            self._signatures.close()


def read_row(task: Task, raw: RawRow) -> Any:
    """The task's record of a row; BadRow for one that it cannot use, or that could not even be read."""
    if isinstance(raw.value, BadRow):
        raise raw.value
    return task.read(raw.value)


def check_columns(rows: Iterable[RawRow], columns: Iterable[str], uri: str) -> Iterator[RawRow]:
    """The same rows; DataError where the beginning of a file has none with a needed column."""
    for _, group in groupby(rows, key=lambda row: row.number):
        rest = iter(group)
        first = next(rest)
        head = [first]
        if first.line <= BLOCK and not is_document(first.file.rpartition("/")[2]):  # one bad document is a bad row
            head += islice(rest, _LOOK - 1)
            _check_head(head, columns, uri)
        yield from chain(head, rest)


def _check_head(head: Iterable[RawRow], columns: Iterable[str], uri: str) -> None:
    values = [(row.file, row.value) for row in head if not isinstance(row.value, BadRow)]
    got = {str(name) for _, value in values for name in value}
    missing = [column for column in columns if column not in got]
    if got and missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise DataError(
            f"{values[0][0]} of {uri}: no {noun} {', '.join(map(repr, missing))}; got {', '.join(sorted(got))}",
            field="data.sources",
            hint="rename the columns of the file, or read it with another task",
        )


def _row_hash(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """Hash of a row's own columns; `repr` because a refused row may hold anything."""
    return sha256_json([ascii(row.get(column)) for column in columns])[:32]
