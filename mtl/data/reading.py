"""First round: from sources to records. Every row is either a record in its bucket or a line of the quarantine."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

from mtl.config.data import SourceConfig
from mtl.data.buckets import BucketWriter
from mtl.data.job import MARK, Job, Place, Tally, split_number
from mtl.data.near import SignatureWriter
from mtl.data.quarantine import Quarantine
from mtl.errors import DataError
from mtl.fingerprint import sha256_json
from mtl.sources.base import BLOCK, Part, RawRow, Source
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
                source = open_for(reader.task, config, job.recipe.seed, cache=job.cache)
                for split in source.splits():
                    rows = check_columns(source.rows(split, part), reader.task.columns, config)
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


def open_for(task: Task, config: SourceConfig, seed: int, *, cache: Path) -> Source:
    """The source of a task's rows: of its files only the columns are read that the task looks at."""
    columns = None if task.optional is None else frozenset((*task.columns, *task.optional))
    return open_source(config, seed, cache=cache, columns=columns)


def settled(config: SourceConfig, seed: int, *, cache: Path) -> SourceConfig:
    """The source with what only all of its rows together say of each (see `Agreed`), where that is not configured.

    Errors: DataError where they do not say it either.
    """
    agreed = get_task(config.task).agreed
    if agreed is None or agreed.column not in config.columns or agreed.name in config.add:
        return config
    source = open_source(config, seed, cache=cache, columns=frozenset({agreed.column}))
    rows = (row.value for split in source.splits() for row in source.rows(split))
    try:
        found = agreed.find(row.get(agreed.column) for row in rows if not isinstance(row, BadRow))
    except DataError as error:
        message = f"source {config.uri} of {config.task}: {error.message}"
        raise DataError(message, field=error.field, hint=error.hint) from None
    return config.model_copy(update={"add": {**config.add, agreed.name: found}})


def check_columns(rows: Iterable[RawRow], columns: Iterable[str], config: SourceConfig) -> Iterator[RawRow]:
    """The same rows; DataError where the beginning of a file has none with a needed column."""
    for _, group in groupby(rows, key=lambda row: row.number):
        rest = iter(group)
        first = next(rest)
        head = [first]
        if first.line <= BLOCK and not is_document(first.file.rpartition("/")[2]):  # one bad document is a bad row
            head += islice(rest, _LOOK - 1)
            _check_head(head, columns, config)
        yield from chain(head, rest)


def _check_head(head: Iterable[RawRow], columns: Iterable[str], config: SourceConfig) -> None:
    values = [(row.file, row.value) for row in head if not isinstance(row.value, BadRow)]
    got = {str(name) for _, value in values for name in value}
    missing = [_shown(column, config) for column in columns if column not in got]
    if got and missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise DataError(
            f"{values[0][0]} of {config.uri}: no {noun} {', '.join(missing)}; "
            f"got {', '.join(textwrap.shorten(name, 60) for name in sorted(got))}",
            field="data.sources",
            hint="rename the columns of the file (the first line of a csv file names them), say under `columns` of the "
            "source how they are called, for example {article: text}, or read it with another task",
        )


def _shown(column: str, config: SourceConfig) -> str:
    mapped = config.columns.get(column)
    return repr(column) if mapped is None else f"{mapped!r} (`columns` names it for {column!r})"


def _row_hash(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """Hash of a row's own columns; `repr` because a refused row may hold anything."""
    return sha256_json([ascii(row.get(column)) for column in columns])[:32]
