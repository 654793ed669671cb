"""Rows of Arrow data: only the columns that are read, and a cell that cannot be read is a bad row, not a bad file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow

from mtl.errors import DataError
from mtl.sources.base import RawRow, Wanted
from mtl.task import BadRow

UNREADABLE = (pyarrow.ArrowException, ValueError, OverflowError, TypeError, KeyError, OSError)
"""What pyarrow may raise: text that is not UTF-8, dates out of range, unknown time zones, a struct's field twice,
damage."""


def chosen(names: Sequence[str], needed: Collection[str] | None, name: str) -> list[str]:
    """Names of the columns to read. DataError for one that is there twice."""
    read = [column for column in names if needed is None or column in needed]
    for column in read:
        if read.count(column) > 1:
            raise DataError(f"{name}: two columns are called {column!r}", hint="which one is meant? Rename the other")
    return read


def batch_rows(
    batch: pyarrow.RecordBatch, name: str, wanted: Wanted, *, start: int, unread: Sequence[str] = ()
) -> Iterator[RawRow]:
    """The wanted rows of a batch whose first row is number `start`, from 0, of its file.

    unread: columns that the file has besides; the first batch names them without values, for messages about columns.
    """
    if not any(map(wanted, range(start, start + batch.num_rows))):
        return
    try:
        values: Sequence[dict[str, Any] | BadRow] = batch.to_pylist()
    except UNREADABLE:
        values = [_row(batch, number) for number in range(batch.num_rows)]
    if unread and start == 0:
        empty = dict.fromkeys(unread)
        values = [value if isinstance(value, BadRow) else {**empty, **value} for value in values]
    for number, value in enumerate(values, start=start):
        if wanted(number):
            yield RawRow(value, name, number + 1)


def _row(batch: pyarrow.RecordBatch, number: int) -> dict[str, Any] | BadRow:
    row: dict[str, Any] = {}
    for column, values in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[column] = values[number].as_py()
        except UnicodeDecodeError:
            return BadRow("not UTF-8", column)
        except UNREADABLE:
            return BadRow("unreadable value", column)
    return row
