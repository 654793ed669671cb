"""Readers of single files: jsonl, json (an array), csv, parquet, each also gzipped. Rows come one by one.

Nothing read here may take more memory than it announces: lines and whole-file formats are bounded, and a gzip file
that grows like a zip bomb is refused.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow
import pyarrow.parquet as pq

from mtl.errors import DataError
from mtl.sources.base import RawRow
from mtl.task import BadRow

MAX_LINE = 16 * 2**20
"""Bytes of one line or csv field."""
MAX_WHOLE = 2**30
"""Bytes of what has to be held in memory at once: a json array, a parquet row group."""
BOMB_FREE = 64 * 2**20
BOMB_RATIO = 200
"""A gzip file may unpack to BOMB_FREE bytes whatever its size, beyond that to BOMB_RATIO times its size."""


def format_of(name: str) -> str | None:
    """'jsonl', 'json', 'csv' or 'parquet' by a file's name, None for any other."""
    suffix = name.lower().removesuffix(".gz").rpartition(".")[2]
    return suffix if suffix in _READERS and "." in name else None


def read_rows(path: Path, name: str) -> Iterator[RawRow]:
    """Rows of one file in order; `name` is what their origin says.

    Errors: DataError for a file that cannot be read at all (damaged, too large, a zip bomb).
    """
    kind = format_of(path.name)
    if kind is None:
        known = ", ".join(_READERS)
        raise DataError(f"{name}: not a data file by its name", field="sources.files", hint=f"known: {known}, or .gz")
    try:
        with _open(path, name) as file:
            yield from _READERS[kind](file, name)
    except (gzip.BadGzipFile, EOFError, zlib.error, pyarrow.ArrowException) as error:
        raise DataError(f"{name}: damaged {kind} file: {error}") from None


def _open(path: Path, name: str) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast("BinaryIO", io.BufferedReader(_Unpacked(path, name), 2**18))
    return path.open("rb")


class _Unpacked(io.RawIOBase):
    """The content of a gzip file, refused once it has grown beyond what text can."""

    def __init__(self, path: Path, name: str) -> None:
        self._limit = max(BOMB_FREE, BOMB_RATIO * path.stat().st_size)
        self._file = gzip.open(path, "rb")  # noqa: SIM115  # closed with this object
        self._name = name
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        self._read += len(data)
        if self._read > self._limit:
            raise DataError(
                f"{self._name}: unpacks to more than {self._limit} bytes, {BOMB_RATIO} times its size: a zip bomb?",
                hint="if the file is right, unpack it yourself and name the unpacked one",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _jsonl(file: BinaryIO, name: str) -> Iterator[RawRow]:
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            yield RawRow(BadRow("over length", "line"), name, number)
        elif line.strip():
            yield RawRow(_object(line), name, number)


def _object(line: bytes) -> dict[str, Any] | BadRow:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return BadRow("not UTF-8", "line")
    except (ValueError, RecursionError):
        return BadRow("not JSON", "line")
    return value if isinstance(value, dict) else BadRow("not a JSON object", "line")


def _json(file: BinaryIO, name: str) -> Iterator[RawRow]:
    """An array of objects; a file that does not begin with `[` is read as jsonl."""
    data = file.read(MAX_WHOLE + 1)
    if len(data) > MAX_WHOLE:
        raise DataError(f"{name}: over {MAX_WHOLE} bytes in one JSON value", hint="keep large data as jsonl or parquet")
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"[":
        yield from _jsonl(io.BytesIO(data), name)
        return
    try:
        values = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not JSON: {error}") from None
    for number, value in enumerate(values, start=1):
        yield RawRow(value if isinstance(value, dict) else BadRow("not a JSON object", "row"), name, number)


def _csv(file: BinaryIO, name: str) -> Iterator[RawRow]:
    """Rows under a header line. Bytes that are not UTF-8 become surrogates, which the task refuses row by row."""
    csv.field_size_limit(MAX_LINE)
    reader = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=""))
    try:
        for row in reader:
            extra = None in row
            yield RawRow(BadRow("more fields than columns", "line") if extra else row, name, reader.line_num)
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num}: not CSV: {error}") from None


def _parquet(file: BinaryIO, name: str) -> Iterator[RawRow]:
    if not file.seekable():
        data = file.read(MAX_WHOLE + 1)
        if len(data) > MAX_WHOLE:
            raise DataError(f"{name}: over {MAX_WHOLE} bytes unpacked", hint="parquet needs no gzip around it")
        file = io.BytesIO(data)
    table = pq.ParquetFile(file)
    for group in range(table.num_row_groups):
        if table.metadata.row_group(group).total_byte_size > MAX_WHOLE:
            raise DataError(f"{name}: row group {group} holds over {MAX_WHOLE} bytes", hint="write smaller row groups")
    number = 0
    for batch in table.iter_batches(batch_size=1024):
        for row in batch.to_pylist():
            number += 1
            yield RawRow(row, name, number)


_READERS: dict[str, Callable[[BinaryIO, str], Iterator[RawRow]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
}
