"""Arrow IPC files, as pyarrow writes them, and streams, which is what `Dataset.save_to_disk` of `datasets` writes."""

from __future__ import annotations

from collections.abc import Iterator
from os import SEEK_END
from typing import Any, BinaryIO

import pyarrow
from pyarrow import ArrowException, ipc

from mtl.errors import DataError
from mtl.sources.arrow_rows import batch_rows, chosen
from mtl.sources.base import BLOCK, FileOptions, RawRow, Wanted
from mtl.sources.spool import seekable

_FILE = b"ARROW1"


def read_arrow(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
    """The wanted rows in order, of the columns that are read. Errors: DataError for a file that is damaged."""
    with seekable(file) as whole:
        try:
            yield from _rows(whole, name, wanted, options)
        except (ArrowException, ValueError) as error:
            raise DataError(f"{name}: damaged arrow file: {error}") from None


def _rows(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
    start = 0
    for whole in _batches(file):
        names = whole.schema.names
        columns = chosen(names, options.columns, name)
        unread = [column for column in names if column not in columns]
        batch = whole.select(columns)
        for column in batch.columns:
            _check_offsets(column)
        for offset in range(0, batch.num_rows, BLOCK):
            part = batch.slice(offset, BLOCK)
            yield from batch_rows(part, name, wanted, start=start, unread=unread)
            start += part.num_rows


def _check_offsets(column: pyarrow.Array) -> None:
    """ArrowException for offsets that lead out of the memory. Text that is not UTF-8 is left to its row."""
    binary = {pyarrow.string(): pyarrow.binary(), pyarrow.large_string(): pyarrow.large_binary()}.get(column.type)
    (column if binary is None else column.view(binary)).validate(full=True)


def _batches(file: BinaryIO) -> Iterator[Any]:
    head = file.read(len(_FILE))
    file.seek(0)
    if head == _FILE:
        reader = ipc.open_file(_Clamped(file))
        return (reader.get_batch(number) for number in range(reader.num_record_batches))
    return iter(ipc.open_stream(_Clamped(file)))


class _Clamped:
    """A file that makes no room for more than it holds, whatever length a damaged message says."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._size = file.seek(0, SEEK_END)
        file.seek(0)
        self._file, self.seek, self.tell, self.seekable = file, file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))
