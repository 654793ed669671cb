"""What has to be read more than once, from a stream that can be read only once: a copy, on disk where it is large."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

_IN_MEMORY = 64 * 2**20


@contextmanager
def seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file itself where it lies on disk or in memory, else a copy of what is left of it."""
    raw = getattr(file, "raw", file)
    if isinstance(raw, (io.FileIO, io.BytesIO)):
        yield file
        return
    with SpooledTemporaryFile(_IN_MEMORY) as copy:
        shutil.copyfileobj(file, copy, 2**20)
        copy.seek(0)
        yield cast("BinaryIO", copy)
