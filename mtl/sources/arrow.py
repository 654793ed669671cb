"""Arrow IPC files, as pyarrow writes them, and streams, which is what `Dataset.save_to_disk` of `datasets` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os import SEEK_END
from typing import Any, BinaryIO

from pyarrow import ArrowException, ipc

from mtl.errors import DataError
from mtl.sources.base import BLOCK, RawRow

_FILE = b"ARROW1"


def read_arrow(file: BinaryIO, name: str, wanted: Callable[[int], bool]) -> Iterator[RawRow]:
    """The wanted rows in order. Errors: DataError for values that Python has no form for, ArrowException for damage."""
    start = 0
    for batch in _batches(file):
        batch.validate(full=True)  # damaged offsets would lead out of the memory
        for offset in range(0, batch.num_rows, BLOCK):
            numbers = range(start + offset, start + min(offset + BLOCK, batch.num_rows))
            if any(map(wanted, numbers)):
                rows = _values(batch.slice(offset, len(numbers)), name, numbers.start)
                yield from (RawRow(row, name, n + 1) for n, row in zip(numbers, rows, strict=True) if wanted(n))
        start += batch.num_rows


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


def _values(batch: Any, name: str, start: int) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, OverflowError, KeyError, ArrowException) as error:
        what = f"{name}: a value of rows {start + 1} to {start + batch.num_rows} cannot be read: {error}"
        raise DataError(what, hint="write such values as text, or leave the column out if no task needs it") from None
    return rows
