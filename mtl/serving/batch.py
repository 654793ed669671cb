"""Many texts: rows of a jsonl or parquet file in, one answer or one refusal for each row out.

A line of jsonl is {"text": …, "id": …} (id optional) or the text as a JSON string; parquet has a column `text` and may
have `id`. A row that is refused costs the others nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mtl.errors import InputError, NotFoundError
from mtl.serving.generate import Generator

_LONGEST_LINE = 8_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number from 0, its id (the number, if it has none), and its text, whatever type that is."""

    number: int
    id: str
    text: Any
    fault: str | None = None


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a .jsonl or .parquet file, one by one. Errors: NotFoundError, InputError for another kind of file."""
    if not path.is_file():
        raise NotFoundError(f"no file {path}", field="file")
    if path.suffix == ".jsonl":
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield from read_lines(lines)
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    else:
        raise InputError(f"{path.name} is neither .jsonl nor .parquet", field="file")


def read_lines(lines: Iterator[str] | Any) -> Iterator[Row]:
    """The rows of JSON lines; empty lines are none."""
    number = 0
    for line in lines:
        if line.strip():
            yield _line(number, line)
            number += 1


def _line(number: int, line: str) -> Row:
    if len(line) > _LONGEST_LINE:
        return Row(number, str(number), None, f"the line has over {_LONGEST_LINE} characters")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Row(number, str(number), None, f"not JSON: {error}")
    if isinstance(value, dict):
        fault = None if "text" in value else "the object has no key 'text'"
        return Row(number, str(value.get("id", number)), value.get("text"), fault)
    return Row(number, str(number), value)


def _parquet(path: Path) -> Iterator[Row]:
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as error:  # ArrowInvalid is a ValueError
        raise InputError(f"{path.name} is no parquet file: {error}", field="file") from None
    columns = [name for name in ("id", "text") if name in file.schema_arrow.names]
    if "text" not in columns:
        raise InputError(f"{path.name} has no column 'text', but {file.schema_arrow.names}", field="file")
    number = 0
    for batch in file.iter_batches(1024, columns=columns):
        for item in batch.to_pylist():
            yield Row(number, str(item.get("id", number)), item["text"])
            number += 1


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
) -> list[dict[str, Any]]:
    """One document a row, in order: {row, id, output, text, truncated}, or {row, id, error: {kind, message, …}}.

    Errors: NotFoundError, BadRequest, InputError if the task or the request itself is wrong.
    """
    refused = {row.number: _refusal(generator, row, task, request, truncate) for row in rows}
    good = [row for row in rows if refused[row.number] is None]
    texts = [row.text for row in good]
    found = generator.generate(texts, task, request=request, max_new_tokens=max_new_tokens, truncate=truncate)
    answers = {row.number: answer.to_dict() for row, answer in zip(good, found, strict=True)}
    return [{"row": row.number, "id": row.id, **(answers.get(row.number) or refused[row.number] or {})} for row in rows]


def _refusal(
    generator: Generator, row: Row, task: str, request: Mapping[str, Any] | None, truncate: bool
) -> dict[str, Any] | None:
    refusal = generator.refusal(row.text, task, request=request, truncate=truncate)
    if row.fault is not None:
        return InputError(row.fault, field="text").to_dict()
    return None if refusal is None else refusal.to_dict()
