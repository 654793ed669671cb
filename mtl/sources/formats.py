"""Readers of single files: jsonl, json (an array), csv, parquet, .story, RACE's N.txt, each also gzipped.

Nothing read here may take more memory than it announces: lines and whole-file formats are bounded, and a gzip file
that grows like a zip bomb is refused.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
import pyarrow
import pyarrow.parquet as pq

from mtl.errors import DataError
from mtl.sources.base import BLOCK, RawRow
from mtl.sources.sniff import HEAD, check_kind, other_kind
from mtl.task import BadRow, shown

MAX_LINE = 16 * 2**20
"""Bytes of one line or csv field."""
MAX_WHOLE = 2**30
"""Bytes of what has to be held in memory at once: a json array, a parquet row group."""
BOMB_FREE = 64 * 2**20
BOMB_RATIO = 200
"""A gzip file may unpack to BOMB_FREE bytes whatever its size, beyond that to BOMB_RATIO times its size."""


_SHOWN = 60
"""Characters of a line in an error."""
_DOCUMENT = re.compile(r"\d+\.txt")

Wanted = Callable[[int], bool]
"""Whether the row of this number, from 0, is asked for: what is not is skipped unread where that can be."""


def format_of(name: str) -> str | None:
    """'jsonl', 'json', 'csv', 'parquet', 'story' or 'race' (N.txt) by a file's name, None for any other."""
    plain = name.rpartition("/")[2].lower().removesuffix(".gz")
    if _DOCUMENT.fullmatch(plain):
        return "race"
    suffix = plain.rpartition(".")[2]
    return suffix if suffix in _READERS and suffix != "race" and "." in name else None


def is_document(name: str) -> bool:
    """Whether a file of this name holds one document: then it is read whole or not at all."""
    return format_of(name) in ("race", "story")


def read_rows(path: Path, name: str, wanted: Wanted = lambda row: True) -> Iterator[RawRow]:
    """The wanted rows of one file in order; `name` is what their origin says.

    Errors: DataError for a file that cannot be read at all (damaged, too large, a zip bomb).
    """
    with _open(path, name) as file:
        yield from read_stream(file, path.name, name, wanted)


def read_stream(file: BinaryIO, kind_by: str, name: str, wanted: Wanted = lambda row: True) -> Iterator[RawRow]:
    """The same for an open, unpacked file whose kind the name `kind_by` tells."""
    kind = format_of(kind_by)
    if kind is None:
        known = ", ".join(_READERS)
        raise DataError(f"{name}: not a data file by its name", field="sources.files", hint=f"known: {known}, or .gz")
    try:
        head = cast("Any", file).peek(HEAD)[:HEAD]  # every file that comes here is buffered
        if not is_document(kind_by):
            check_kind(head, kind, name)
        elif found := other_kind(head, kind):
            yield RawRow(BadRow(f"not a document: {found[0]}", "file", detail=found[1]), name, 1)
            return
        yield from _READERS[kind](file, name, wanted)
    except (gzip.BadGzipFile, EOFError, zlib.error, pyarrow.ArrowException) as error:
        hint = f"fetch or write it again, or correct its name if it is no {kind} file or not packed"
        raise DataError(f"{name}: damaged {kind} file: {error}", field="data.sources", hint=hint) from None


def _open(path: Path, name: str) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast("BinaryIO", io.BufferedReader(Unpacked(path, name), 2**18))
    return path.open("rb")


class Unpacked(io.RawIOBase):
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


def _jsonl(file: BinaryIO, name: str, wanted: Wanted) -> Iterator[RawRow]:
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        mine = wanted(number - 1)
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            if mine:
                yield RawRow(BadRow("over length", "line"), name, number)
        elif mine and line.strip():
            yield RawRow(_object(line), name, number)


def _object(line: bytes) -> dict[str, Any] | BadRow:
    try:
        value = orjson.loads(line)
        return value if isinstance(value, dict) else BadRow("not a JSON object", "line")
    except orjson.JSONDecodeError:
        return _lenient(line)


def _lenient(line: bytes) -> dict[str, Any] | BadRow:
    """What orjson refuses and json takes (a byte order mark, NaN, lone surrogates), or why it is refused."""
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return BadRow("not UTF-8", "line")
    except (ValueError, RecursionError):
        beginning = line[: 4 * _SHOWN].decode("utf-8-sig", "replace").strip()
        return BadRow("not JSON", "line", detail=f"got {shown(beginning)}, expected a JSON object")
    return value if isinstance(value, dict) else BadRow("not a JSON object", "line")


def _json(file: BinaryIO, name: str, wanted: Wanted) -> Iterator[RawRow]:
    """An array of objects; a file that does not begin with `[` is read as jsonl."""
    data = _whole(file, name, hint="keep large data as jsonl or parquet")
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"[":
        yield from _jsonl(io.BytesIO(data), name, wanted)
        return
    try:
        values = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not JSON: {error}") from None
    for number, value in enumerate(values, start=1):
        if wanted(number - 1):
            yield RawRow(value if isinstance(value, dict) else BadRow("not a JSON object", "row"), name, number)


def _csv(file: BinaryIO, name: str, wanted: Wanted) -> Iterator[RawRow]:
    """Rows under a header line. Bytes that are not UTF-8 become surrogates, which the task refuses row by row."""
    csv.field_size_limit(MAX_LINE)
    reader = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=""))
    try:
        for number, row in enumerate(reader):
            if wanted(number):
                extra = None in row
                yield RawRow(BadRow("more fields than columns", "line") if extra else row, name, reader.line_num)
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num}: not CSV: {error}") from None


def _parquet(file: BinaryIO, name: str, wanted: Wanted) -> Iterator[RawRow]:
    if not file.seekable():
        file = io.BytesIO(_whole(file, name, hint="parquet needs no gzip around it"))
    table = pq.ParquetFile(file)
    for group in range(table.num_row_groups):
        if table.metadata.row_group(group).total_byte_size > MAX_WHOLE:
            raise DataError(f"{name}: row group {group} holds over {MAX_WHOLE} bytes", hint="write smaller row groups")
    start = 0
    for batch in table.iter_batches(batch_size=BLOCK):
        if any(map(wanted, range(start, start + batch.num_rows))):
            for number, row in enumerate(batch.to_pylist(), start=start):
                if wanted(number):
                    yield RawRow(row, name, number + 1)
        start += batch.num_rows


def _race(file: BinaryIO, name: str, wanted: Wanted) -> Iterator[RawRow]:
    """One passage with its questions, as RACE's archive has them."""
    data = file.read(MAX_LINE + 1)
    yield RawRow(_object(data) if len(data) <= MAX_LINE else BadRow("over length", "line"), name, 1)


def _story(file: BinaryIO, name: str, wanted: Wanted) -> Iterator[RawRow]:
    """One article of CNN/DailyMail with a paragraph behind each `@highlight` (Hermann et al. 2015)."""
    data = file.read(MAX_LINE + 1)
    yield RawRow(_article(data, name) if len(data) <= MAX_LINE else BadRow("over length", "line"), name, 1)


def _article(data: bytes, name: str) -> dict[str, Any] | BadRow:
    try:
        article, *highlights = _MARK.split(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return BadRow("not UTF-8", "line")
    said = (" ".join(part.split()) for part in highlights)
    return {"article": article.strip(), "highlights": "\n".join(line for line in said if line), "id": Path(name).stem}


def _whole(file: BinaryIO, name: str, *, hint: str) -> bytes:
    """All of a file that has to be held at once."""
    data = file.read(MAX_WHOLE + 1)
    if len(data) > MAX_WHOLE:
        raise DataError(f"{name}: over {MAX_WHOLE} bytes in one value", hint=hint)
    return data


_MARK = re.compile(r"^\s*@highlight\s*$", re.MULTILINE)
_READERS: dict[str, Callable[[BinaryIO, str, Wanted], Iterator[RawRow]]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
    "story": _story,
    "race": _race,
}
