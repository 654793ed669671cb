"""Durable files: fsync, publishing by rename, and disk errors in words."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mtl.errors import NotFoundError, PermanentError, TransientError
from mtl.shortages import by_number

_CAUSES = {
    errno.ELOOP: ("it is a symbolic link", "remove the link: objects are plain files"),
    errno.ENOTDIR: ("a part of the path is a file", "one key cannot be both an object and a folder of objects"),
    errno.EISDIR: ("it is a folder", "one key cannot be both an object and a folder of objects"),
    errno.EEXIST: ("a part of the path is a file", "one key cannot be both an object and a folder of objects"),
    errno.ENAMETOOLONG: ("the name is too long", "use a shorter key or a folder nearer to the root"),
}
_PASSING = {errno.EAGAIN, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.EBUSY, errno.ETIMEDOUT}


@contextlib.contextmanager
def disk_errors(action: str, path: Path) -> Iterator[None]:
    """Turns OSError into PermanentError or TransientError that say what could not be done, where and why.

    FileNotFoundError and NotADirectoryError pass unless writing: what they mean depends on the caller.
    """
    try:
        yield
    except OSError as error:
        if action != "write" and isinstance(error, FileNotFoundError | NotADirectoryError):
            raise
        cause, hint = _cause(error)
        kind = TransientError if error.errno in _PASSING else PermanentError
        raise kind(f"cannot {action} {path}: {cause}", hint=hint) from error


def _cause(error: OSError) -> tuple[str, str | None]:
    if error.errno in _CAUSES:
        return _CAUSES[error.errno]
    lack = by_number(error.errno)
    return (lack.cause, lack.hint) if lack else (error.strerror or type(error).__name__, None)


def open_source(path: Path) -> BinaryIO:
    """A local file to read. NotFoundError if it is missing."""
    try:
        with disk_errors("read", path):
            return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"no file {path}") from None


def fsync_folder(folder: Path) -> None:
    """Make renames, links and deletions in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Make the flat files of `folder`, their names and the folder's own name durable."""
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    fsync_folder(folder)
    fsync_folder(folder.absolute().parent)


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[BinaryIO]:
    """A file to write; on leaving it is fsynced and renamed to `path`, on an error it is removed."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}~")
    with disk_errors("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
            fsync_folder(path.parent)
        finally:
            aside.unlink(missing_ok=True)


def publish_copy(source: BinaryIO, path: Path) -> None:
    """Copy what is left of `source` to `path`, written aside."""
    with written_aside(path) as file:
        shutil.copyfileobj(source, file, 1 << 20)
