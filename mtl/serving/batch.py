"""Many texts: rows of a file in, one answer or one refusal for each row out.

A line of jsonl is {"text": …, "id": …} (id optional) or the text as a JSON string; other tables have a column `text`
and may have `id`. `article`, as data for training have it, is as good as `text`. A row that is refused costs the others
nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mtl.decoding import GREEDY, Decoding
from mtl.errors import InputError, NotFoundError
from mtl.serving.generate import Generator
from mtl.sources import formats
from mtl.sources.formats import format_of, is_document
from mtl.sources.sniff import HEAD, check_kind, other_kind
from mtl.sources.text_encoding import wide_encoding
from mtl.task import BadRow

FIELDS = ("text", "article")
ACCEPTED = (
    "accepted are one text (plain, UTF-8) and tables of many (.jsonl, .json, .csv, .parquet) with a column `text` or "
    "`article`"
)
_LONGEST_LINE = 8_000_000
_SHOWN = 200
_ESCAPED = re.compile("[\udc80-\udcff]")
"""A byte that was no UTF-8, as Python's surrogateescape keeps it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number from 0, its id (the number, if it has none), and its text, whatever type that is."""

    number: int
    id: str
    text: Any
    fault: str | None = None


def is_table(path: Path) -> bool:
    """Whether a file of this name holds many texts."""
    return format_of(path.name) is not None and not is_document(path.name)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a table, one by one. Errors: NotFoundError, InputError for another kind of file."""
    if not path.is_file():
        raise NotFoundError(f"no file {path}", field="file")
    if not is_table(path):
        raise InputError(f"{path.name} is no table of texts by its name", field="file", hint=ACCEPTED)
    if path.suffix == ".parquet":
        yield from _parquet(path)
    elif path.suffix == ".jsonl":
        with path.open("rb") as lines:
            check_kind(lines.peek(HEAD)[:HEAD], "jsonl", path.name)
            yield from read_lines(lines)
    else:
        for number, raw in enumerate(formats.read_rows(path, path.name)):
            yield _row(number, raw.value)


def read_lines(lines: Iterable[str] | Iterable[bytes]) -> Iterator[Row]:
    """The rows of JSON lines; empty lines are none."""
    number = 0
    for line in lines:
        if line.strip():
            yield _line(number, line)
            number += 1


def _line(number: int, line: str | bytes) -> Row:
    if len(line) > _LONGEST_LINE:
        return Row(number, str(number), None, f"the line has over {_LONGEST_LINE} characters")
    try:
        value = json.loads(line.decode("utf-8-sig") if isinstance(line, bytes) else line)
    except UnicodeDecodeError as error:
        return Row(number, str(number), None, f"not UTF-8: byte 0x{error.object[error.start]:02x}")
    except (ValueError, RecursionError) as error:
        return Row(number, str(number), None, f"not JSON: {error}")
    return _row(number, value) if isinstance(value, dict) else Row(number, str(number), value)


def _row(number: int, value: Mapping[str, Any] | BadRow) -> Row:
    if isinstance(value, BadRow):
        return Row(number, str(number), None, str(value))
    name = next((name for name in FIELDS if name in value), None)
    identity = str(value.get("id", number))
    if name is None:
        got = ", ".join(map(str, value)) or "none"
        return Row(number, identity, None, f"the object has no key 'text' or 'article'; its keys: {got[:_SHOWN]}")
    text = value[name]
    escaped = isinstance(text, str) and _ESCAPED.search(text)
    return Row(number, identity, text, f"not UTF-8: byte 0x{ord(escaped[0]) - 0xDC00:02x}" if escaped else None)


def _parquet(path: Path) -> Iterator[Row]:
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise InputError(f"{path.name} is no parquet file: {error}", field="file") from None
    names = file.schema_arrow.names
    text = next((name for name in FIELDS if name in names), None)
    if text is None:
        raise InputError(f"{path.name} has no column 'text' or 'article', but {names}", field="file")
    columns = [text, *(name for name in ("id",) if name in names)]
    number = 0
    for batch in file.iter_batches(1024, columns=columns):
        for item in batch.to_pylist():
            yield Row(number, str(item.get("id", number)), item[text])
            number += 1


def read_one(data: bytes, name: str) -> str:
    """The one text in `data`. Errors: InputError for what is no plain text in UTF-8; `name` says where it came from."""
    wide = wide_encoding(data[:HEAD])
    found = (f"{wide.upper()} text", "save it as UTF-8") if wide else other_kind(data[:HEAD], "text")
    if found:
        raise InputError(f"{name} is {found[0]}, expected a text", field="file", hint=f"{found[1]}; {ACCEPTED}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"byte 0x{data[error.start]:02x} in line {data.count(10, 0, error.start) + 1}"
        hint = "if it comes from Windows: iconv -f CP1252 -t UTF-8 OLD > NEW; " + ACCEPTED
        raise InputError(f"{name} is not UTF-8: {place}", field="file", hint=hint) from None
    if "\0" in text:
        raise InputError(f"{name} holds NUL bytes, so it is no text", field="file", hint=ACCEPTED)
    return text


def shards(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Runs of `size` rows, the last one shorter."""
    while shard := list(islice(rows, size)):
        yield shard


def answer_rows(
    generator: Generator,
    rows: Sequence[Row],
    task: str,
    *,
    request: Mapping[str, Any] | None = None,
    max_new_tokens: int | None = None,
    truncate: bool = False,
    decoding: Decoding = GREEDY,
) -> list[dict[str, Any]]:
    """One document a row, in order: {row, id, output, text, truncated}, or {row, id, error: {kind, message, …}}.

    With candidates, an answer also has `missing`.

    Errors: NotFoundError, BadRequest, InputError if the task or the request itself is wrong.
    """
    refused = {row.number: _refusal(generator, row, task, request, truncate) for row in rows}
    good = [row for row in rows if refused[row.number] is None]
    texts = [row.text for row in good]
    found = generator.generate(
        texts, task, request=request, max_new_tokens=max_new_tokens, truncate=truncate, decoding=decoding
    )
    answers = {row.number: answer.to_dict() for row, answer in zip(good, found, strict=True)}
    return [{"row": row.number, "id": row.id, **(answers.get(row.number) or refused[row.number] or {})} for row in rows]


def _refusal(
    generator: Generator, row: Row, task: str, request: Mapping[str, Any] | None, truncate: bool
) -> dict[str, Any] | None:
    refusal = generator.refusal(row.text, task, request=request, truncate=truncate)
    if row.fault is not None:
        return InputError(row.fault, field="text").to_dict()
    return None if refusal is None else refusal.to_dict()
