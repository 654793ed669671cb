"""Rows of a Parquet file: of its columns only those that are read are touched at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow.parquet as pq

from mtl.errors import DataError
from mtl.sources.arrow_rows import UNREADABLE, batch_rows, chosen
from mtl.sources.base import BLOCK, FileOptions, RawRow, Wanted
from mtl.sources.spool import seekable

MAX_GROUP = 2**30
"""Bytes that the columns of one row group may take in memory."""


def read_parquet(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
    """Rows numbered from 1. Errors: DataError for a file that is damaged, or whose row groups are too large to hold."""
    with seekable(file) as whole:
        try:
            yield from _rows(whole, name, wanted, options)
        except UNREADABLE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk, not of the file
            raise DataError(f"{name}: damaged parquet file: {error}") from None


def _rows(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
    table = pq.ParquetFile(file)
    columns = chosen(table.schema_arrow.names, options.columns, name)
    for group in range(table.num_row_groups):
        if _group_bytes(table, group, columns) > MAX_GROUP:
            raise DataError(f"{name}: row group {group} holds over {MAX_GROUP} bytes", hint="write smaller row groups")
    unread = [column for column in table.schema_arrow.names if column not in columns]
    start = 0
    for batch in table.iter_batches(batch_size=BLOCK, columns=columns):
        yield from batch_rows(batch, name, wanted, start=start, unread=unread)
        start += batch.num_rows


def _group_bytes(table: pq.ParquetFile, group: int, columns: list[str]) -> int:
    meta = table.metadata.row_group(group)
    chunks = map(meta.column, range(meta.num_columns))
    return sum(its.total_uncompressed_size for its in chunks if its.path_in_schema.split(".")[0] in columns)
