"""Readers of single files: jsonl, json (an array), csv, tsv, parquet, arrow, .story, RACE's N.txt, each also packed by
gzip or zstd.

Nothing read here may take more memory than it announces: lines and whole-file formats are bounded, and a packed file
that grows like a zip bomb is refused.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson
import pyarrow

from mtl.errors import DataError
from mtl.sources.arrow import read_arrow
from mtl.sources.base import AS_USUAL, FileOptions, RawRow, Wanted
from mtl.sources.csv_reader import read_csv
from mtl.sources.parquet_reader import read_parquet
from mtl.sources.sniff import HEAD, check_kind, other_kind
from mtl.sources.text_encoding import in_utf8
from mtl.task import BadRow, shown

MAX_LINE = 16 * 2**20
"""Bytes of one line."""
MAX_WHOLE = 2**30
"""Bytes of what has to be held in memory at once: a json array."""
BOMB_FREE = 64 * 2**20
BOMB_RATIO = 200
"""A packed file may unpack to BOMB_FREE bytes whatever its size, beyond that to BOMB_RATIO times its size."""


KNOWN = "jsonl, ndjson, json, csv, tsv, parquet, arrow, .story, RACE's N.txt, also .gz and .zst"
_PACKED = re.compile(r"\.(?:gz|gzip|zst|zstd)$")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_SHOWN = 60
"""Characters of a line in an error."""
_DOCUMENT = re.compile(r"\d+\.txt")


def format_of(name: str) -> str | None:
    """'jsonl', 'csv', ..., 'story' or 'race' (N.txt) by a file's name, None for any other."""
    plain = _PACKED.sub("", name.rpartition("/")[2].lower())
    if _DOCUMENT.fullmatch(plain):
        return "race"
    suffix = plain.rpartition(".")[2]
    return suffix if suffix in _READERS and suffix != "race" and "." in plain else None


def is_packed(name: str) -> bool:
    """Whether a file of this name holds another one, packed."""
    return _PACKED.search(name.lower()) is not None


def is_document(name: str) -> bool:
    """Whether a file of this name holds one document: then it is read whole or not at all."""
    return format_of(name) in ("race", "story")


def read_rows(
    path: Path, name: str, wanted: Wanted = lambda row: True, options: FileOptions = AS_USUAL
) -> Iterator[RawRow]:
    """The wanted rows of one file in order; `name` is what their origin says.

    Errors: DataError for a file that cannot be read at all (damaged, too large, a zip bomb).
    """
    with _damage(name, _kind(path.name, name)), open_file(path, name) as file:
        yield from read_stream(file, path.name, name, wanted, options)


def read_stream(
    file: BinaryIO, kind_by: str, name: str, wanted: Wanted = lambda row: True, options: FileOptions = AS_USUAL
) -> Iterator[RawRow]:
    """The same for an open, unpacked file whose kind the name `kind_by` tells."""
    kind = _kind(kind_by, name)
    with _damage(name, kind):
        head = cast("Any", file).peek(HEAD)[:HEAD]  # every file that comes here is buffered
        if not is_document(kind_by):
            check_kind(head, kind, name)
        elif found := other_kind(head, kind):
            yield RawRow(BadRow(f"not a document: {found[0]}", "file", detail=found[1]), name, 1)
            return
        try:
            text = file if kind in _BINARY else in_utf8(file, name, options.encoding)
        except DataError as error:
            if not is_document(kind_by):
                raise
            yield RawRow(BadRow("not UTF-8", "file", detail=str(error).replace("\n  ", "; ")), name, 1)
            return
        yield from _READERS[kind](text, name, wanted, options)


def is_plain(path: Path, name: str, options: FileOptions = AS_USUAL) -> bool:
    """Whether a text file is unpacked UTF-8 and begins as its name says: then its lines can be read in any pieces."""
    try:
        with open_file(path, name) as file:
            if not isinstance(getattr(file, "raw", None), io.FileIO):
                return False
            check_kind(cast("Any", file).peek(HEAD)[:HEAD], _kind(path.name, name), name)
            return in_utf8(file, name, options.encoding) is file
    except (DataError, PackedError):
        return False


def read_lines(data: bytes, kind_by: str, name: str, options: FileOptions = AS_USUAL) -> Iterator[RawRow]:
    """The rows of whole lines out of such a file, a table's with its header before them."""
    return _READERS[_kind(kind_by, name)](io.BytesIO(data), name, lambda row: True, options)


def csv_options(kind: str, options: FileOptions) -> FileOptions:
    """How a csv or tsv file is read."""
    return replace(options, delimiter=options.delimiter or "\t") if kind == "tsv" else options


def _kind(kind_by: str, name: str) -> str:
    kind = format_of(kind_by)
    if kind is None:
        raise DataError(f"{name}: not a data file by its name", field="sources.files", hint=f"known: {KNOWN}")
    return kind


@contextmanager
def _damage(name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except (OSError, MemoryError, pyarrow.ArrowException) as error:
        if getattr(error, "errno", None) is not None:  # the disk, not the content
            raise
        hint = f"fetch or write it again, or correct its name if it is no {kind} file or not packed"
        raise DataError(f"{name}: damaged {kind} file: {error}", field="data.sources", hint=hint) from None


class PackedError(OSError):
    """A packed file that cannot be unpacked."""


def open_file(path: Path, name: str) -> BinaryIO:
    """The content of a file, unpacked where it begins as gzip and zstd files do, whatever its name says.

    Errors: PackedError for one that is packed by its name alone; reading on: PackedError, DataError for a bomb.
    """
    file = path.open("rb")
    head = file.read(4)
    file.seek(0)
    if head.startswith(_GZIP):
        return _unpacked(gzip.GzipFile(fileobj=file), file, path, name)
    if head == _ZSTD or (head[1:] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):  # or a frame to skip
        return _unpacked(pyarrow.CompressedInputStream(file, "zstd"), file, path, name)
    if is_packed(path.name) and not head.startswith(b"PAR1"):  # pandas says .parquet.gzip of what is packed inside
        file.close()
        what = "it is empty" if not head else "it begins like neither"
        raise PackedError(f"gzip or zstd by its name, but {what}")
    return file


def _unpacked(stream: Any, file: BinaryIO, path: Path, name: str) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(Unpacked(stream, file, path, name), 2**18))


class Unpacked(io.RawIOBase):
    """What a packed file holds, refused once it has grown beyond what text can."""

    def __init__(self, stream: Any, file: BinaryIO, path: Path, name: str) -> None:
        self._limit = max(BOMB_FREE, BOMB_RATIO * path.stat().st_size)
        self._stream, self._file, self._name = stream, file, name
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except (OSError, EOFError, zlib.error) as error:
            if getattr(error, "errno", None) is not None:
                raise
            raise PackedError(str(error)) from None
        self._read += len(data)
        if self._read > self._limit:
            raise DataError(
                f"{self._name}: unpacks to more than {self._limit} bytes, {BOMB_RATIO} times its size: a zip bomb?",
                hint="if the file is right, unpack it yourself and name the unpacked one",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        self._file.close()
        super().close()


def _jsonl(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
    number = 0
    keys = [f'"{column}"'.encode() for column in sorted(options.columns or ())]
    while line := file.readline(MAX_LINE + 1):
        number += 1
        mine = wanted(number - 1)
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE)
            if mine:
                yield RawRow(BadRow("over length", "line"), name, number)
        elif mine and line.strip():
            yield RawRow(_once(line, keys) or _object(line), name, number)


def _once(line: bytes, keys: list[bytes]) -> BadRow | None:
    """A bad row if one of the fields that are read comes twice: json would take the last one."""
    if not any(line.count(key) > 1 for key in keys):
        return None
    fields: list[str] = []

    def top(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields[:] = [name for name, _ in pairs]  # the outermost object comes last
        return dict(pairs)

    try:
        json.loads(line, object_pairs_hook=top)
    except (ValueError, RecursionError):
        return None
    twice = next((name for name in fields if fields.count(name) > 1 and f'"{name}"'.encode() in keys), None)
    return BadRow("repeated field", twice) if twice else None


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


def _json(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
    """An array of objects; a file that does not begin with `[` is read as jsonl."""
    data = _whole(file, name, hint="keep large data as jsonl or parquet")
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"[":
        yield from _jsonl(io.BytesIO(data), name, wanted, options)
        return
    try:
        values = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not JSON: {error}") from None
    for number, value in enumerate(values, start=1):
        if wanted(number - 1):
            yield RawRow(value if isinstance(value, dict) else BadRow("not a JSON object", "row"), name, number)


def _tsv(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
    return read_csv(file, name, wanted, csv_options("tsv", options))


def _race(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
    """One passage with its questions, as RACE's archive has them."""
    data = file.read(MAX_LINE + 1)
    yield RawRow(_object(data) if len(data) <= MAX_LINE else BadRow("over length", "line"), name, 1)


def _story(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
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
_READERS: dict[str, Callable[[BinaryIO, str, Wanted, FileOptions], Iterator[RawRow]]] = {
    "jsonl": _jsonl,
    "ndjson": _jsonl,
    "jsonlines": _jsonl,
    "json": _json,
    "csv": read_csv,
    "tsv": _tsv,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "feather": read_arrow,
    "story": _story,
    "race": _race,
}
_BINARY = ("parquet", "arrow", "feather")
