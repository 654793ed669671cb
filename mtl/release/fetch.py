"""Files of a release from a store or from links to a folder: resumed inside a file, verified, renamed when right."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from mtl.errors import DamageError, NotFoundError
from mtl.fingerprint import sha256_file
from mtl.release.layout import ReleaseFile, damaged
from mtl.release.signature import read_signature
from mtl.store.base import ObjectStore
from mtl.store.files import disk_errors

CHUNK = 8 << 20
"""Bytes of one ranged request: what is lost at most when a pull is cut off."""


class Source(Protocol):
    """Where a release's files are read from. Errors: NotFoundError, TransientError, PermanentError."""

    @property
    def name(self) -> str:
        """What stands before a file's path in messages."""
        ...

    def signature(self) -> bytes | None:
        """The signature of the release; None if it is not signed."""
        ...

    def chunks(self, file: ReleaseFile, start: int) -> Iterator[bytes]:
        """The bytes of a file from `start` on; of a file that cannot be read in parts, `start` is 0."""
        ...

    def resumes(self) -> bool:
        """Whether `chunks` can start elsewhere than at 0."""
        ...


@runtime_checkable
class Ranged(Protocol):
    """A store that reads parts of an object."""

    def get_range(self, key: str, start: int, *, end: int) -> bytes: ...


class StoreSource:
    """The release below `prefix` of a store."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self.name = prefix

    def signature(self) -> bytes | None:
        return read_signature(self._store, self.name)

    def resumes(self) -> bool:
        return isinstance(self._store, Ranged)

    def chunks(self, file: ReleaseFile, start: int) -> Iterator[bytes]:
        key = f"{self.name}/{file.path}"
        if not isinstance(self._store, Ranged):
            raise TypeError(f"{self._store!r} reads whole files")
        for position in range(start, file.bytes, CHUNK):
            yield self._store.get_range(key, position, end=min(position + CHUNK, file.bytes))

    def whole(self, file: ReleaseFile, path: Path) -> None:
        """Copy a file of a store that reads no parts."""
        self._store.get_file(f"{self.name}/{file.path}", path)


def fetch(source: Source, file: ReleaseFile, dest: Path, *, aside: Path) -> None:
    """Make `dest / file.path` the file. What was read of it before a cut stands in `aside` and is not read again.

    Errors: DamageError naming the file if it is missing or its bytes are not the manifest's; the source's errors.
    """
    try:
        with _part(aside, file) as (part, path):
            kept = os.fstat(part.fileno()).st_size
            _complete(source, file, part, path)
            if not is_right(path, file) and kept > 0:  # what stood there was of no use: once more from the start
                part.truncate(0)
                _complete(source, file, part, path)
            if not is_right(path, file):
                path.unlink()
                raise damaged(f"{source.name}/{file.path}", file)
            target = dest / file.path
            target.parent.mkdir(exist_ok=True)
            path.replace(target)
    except NotFoundError:
        key = f"{source.name}/{file.path}"
        raise DamageError(f"{key} is missing from the release", field=file.path) from None


def is_right(path: Path, file: ReleaseFile) -> bool:
    """Whether `path` is a plain file with the size and sha256 of the manifest."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.bytes:
        return False
    return sha256_file(path) == file.sha256


def _complete(source: Source, file: ReleaseFile, part: BinaryIO, path: Path) -> None:
    """Add to the part what it lacks."""
    if isinstance(source, StoreSource) and not source.resumes():
        whole = path.with_name(f"{path.name}.whole")
        source.whole(file, whole)
        # Its bytes, not the file itself: the lock is on the part, and another pull would lock what took its place.
        with disk_errors("write", path), whole.open("rb") as got:
            part.truncate(0)
            shutil.copyfileobj(got, part)
            part.flush()
        whole.unlink()
        return
    size = os.fstat(part.fileno()).st_size
    start = size if size <= file.bytes else 0
    with disk_errors("write", path):
        part.truncate(start)
        part.seek(start)
    for chunk in source.chunks(file, start):
        with disk_errors("write", path):
            part.write(chunk)
            part.flush()


@contextmanager
def _part(aside: Path, file: ReleaseFile) -> Iterator[tuple[BinaryIO, Path]]:
    """The part of a file that an earlier pull left, or a new one; one of its own while another pull writes that one."""
    path = aside / f"{file.sha256}.part"
    part = _locked(path)
    own = part is not None
    if part is None:
        path = aside / uuid.uuid4().hex
        part = path.open("a+b")
    try:
        yield part, path
    finally:
        part.close()
        if not own:
            path.unlink(missing_ok=True)


def _locked(path: Path) -> BinaryIO | None:
    """`path` opened and locked; None if another pull has the lock."""
    while True:
        with disk_errors("write", path):
            path.parent.mkdir(exist_ok=True)  # another pull that ended may just have removed it
            part = path.open("a+b")
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            part.close()
            return None
        # Between opening and locking, its owner may have finished and moved it to its place, which must not be written.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(part.fileno()), path.stat()):
                return part
        part.close()
