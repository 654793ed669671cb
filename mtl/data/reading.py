"""First round: from sources to records. Every row is either a record in its bucket or a refused one of its piece."""

from __future__ import annotations

import struct
import textwrap
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from mtl.config.data import SourceConfig
from mtl.data.arrays import write_arrays
from mtl.data.buckets import BucketWriter
from mtl.data.job import MARK, Job, Need, split_number
from mtl.data.near import Signatures
from mtl.data.pieces import ROW
from mtl.data.plan import load_plan
from mtl.errors import DataError
from mtl.fingerprint import sha256_json
from mtl.sources.base import BLOCK, Chunk, Local, RawRow, Source
from mtl.sources.formats import is_document
from mtl.sources.open import open_source
from mtl.task import BadRow, Task
from mtl.tasks.table import get_task
from mtl.tasks.text import passage_key

_PLACE = struct.Struct("<IQ")
_LOOK = 100
"""Rows of a file in which a column must turn up once."""

Progress = Callable[[str, int], None]
"""(stage, rows or files done in it)."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A chunk of a task's source. number: of the unit, by which its piece is found. name: of that piece, if it is kept;
    one that is not has none. local: the files of this machine that the chunk is of, if it is of files."""

    number: int
    source: int
    chunk: Chunk
    name: str
    local: Local | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Units to read one after the other. again: their pieces are there, only records are missing."""

    task: str
    number: int
    units: tuple[Unit, ...]
    again: bool = False


def taken_for_reading(job: Job, work: Reading) -> Iterator[Need]:
    """The plan, and the bytes of the units' chunks."""
    if work.again:
        yield job.need(job.plan(work.task), shared=True)
    for unit in work.units:
        if unit.local is not None:
            chunk, copy = unit.chunk, unit.local.moved(job.source(unit.source)).root.relative_to(job.folder)
            for name in unit.local.names:
                yield Need(unit.local.root / name, copy / name, chunk.start, chunk.stop, shared=chunk.part.of > 1)


def read_units(job: Job, work: Reading) -> None:
    """Reads units into pieces, and their records into buckets."""
    task = get_task(work.task)
    buckets = BucketWriter(job.buckets(work.task), f"{work.number:04}{'-again' * work.again}", job.count)
    wanted = load_plan(job.plan(work.task)).keys() if work.again else None
    try:
        for unit in work.units:
            reader = _Reader(job, task, unit, f"{work.task}-{work.number}", buckets, wanted)
            config = job.sources[unit.source]
            local = unit.local.moved(job.source(unit.source)) if job.away and unit.local else None
            rows = open_for(task, config, job.recipe.seed, cache=job.cache, local=local).read(unit.chunk)
            reader.read(check_columns(rows, task.columns, config) if unit.chunk.begins else rows)
            if not work.again:
                reader.write(job.piece(unit.number))
    finally:
        buckets.close()


class _Reader:
    """Where the rows of one unit go. wanted: passages whose records are asked for, None for all."""

    def __init__(
        self, job: Job, task: Task, unit: Unit, worker: str, buckets: BucketWriter, wanted: Container[str] | None
    ) -> None:
        self._job, self._task, self._unit, self._worker = job, task, unit, worker
        self._buckets, self._wanted = buckets, wanted
        self._near = wanted is None and job.recipe.settings["near_duplicates"] is not None
        self._signatures = Signatures()
        self._order = split_number(unit.chunk.split)
        self._numbers = {number: index for index, (number, _) in enumerate(unit.chunk.files)}
        self._files: list[tuple[int, str]] = []
        self._rows: list[bytes] = []
        self._refused: list[tuple[int, int, str, str, str, str]] = []
        self._seen = 0

    def read(self, rows: Iterable[RawRow]) -> None:
        for self._seen, raw in enumerate(rows, start=1):
            if self._seen % MARK == 0:
                self._job.mark("read", self._worker)
            try:
                record = read_row(self._task, raw)
            except BadRow as bad:
                content = "" if isinstance(raw.value, BadRow) else _row_hash(raw.value, self._task.columns)
                line = raw.line - self._unit.chunk.first
                self._refused.append((self._file(raw), line, bad.reason, bad.field, content, bad.detail))
            else:
                self._keep(record, raw)

    def _keep(self, record: Any, raw: RawRow) -> None:
        passage = self._task.passage(record)
        key = passage_key(passage)
        if self._wanted is not None and key not in self._wanted:
            return
        data = orjson.dumps(self._task.dump(record))
        place = (self._unit.source, self._order, raw.number, raw.line)
        self._buckets.add(data, key=key, split=self._unit.chunk.split, place=place)
        digest = blake2b(data, digest_size=ROW["record"].itemsize).digest()
        if self._near:
            self._signatures.add(len(self._rows), key, passage)
        line = raw.line - self._unit.chunk.first
        self._rows.append(bytes.fromhex(key) + digest + _PLACE.pack(self._file(raw), line))

    def _file(self, raw: RawRow) -> int:
        """Of the row, among the chunk's or those that came so far."""
        found = self._numbers.get(raw.number)
        if found is None:
            found = self._numbers[raw.number] = len(self._files)
            self._files.append((raw.number, raw.file))
        return found

    def write(self, path: Path) -> None:
        document = {"name": self._unit.name, "seen": self._seen, "files": self._files, "refused": self._refused}
        rows = np.frombuffer(b"".join(self._rows), ROW)
        write_arrays(path, document, {"rows": rows, "signatures": self._signatures.array()})


def read_row(task: Task, raw: RawRow) -> Any:
    """The task's record of a row; BadRow for one that it cannot use, or that could not even be read."""
    if isinstance(raw.value, BadRow):
        raise raw.value
    return task.read(raw.value)


def open_for(task: Task, config: SourceConfig, seed: int, *, cache: Path, local: Local | None = None) -> Source:
    """The source of a task's rows: of its files only the columns are read that the task looks at."""
    columns = None if task.optional is None else frozenset((*task.columns, *task.optional))
    return open_source(config, seed, cache=cache, columns=columns, local=local)


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
