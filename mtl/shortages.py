"""What a machine may lack (space, a right, a file descriptor), in words: one table for exceptions and for logs.

with reported():            an OSError or a database's error for such a lack becomes an MtlError that says so
    …
"""

from __future__ import annotations

import errno
import re
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mtl.errors import MtlError, PermanentError

_AGAIN = "then run the same command again: it goes on where it stopped"
_ACCESS = "give this user read and write access, or set MTL_HOME and MTL_STORE to folders that it may write to"
_LIMIT = f"raise the limit (ulimit -f unlimited), {_AGAIN}"
_FILES = f"raise the limit (ulimit -n 4096), {_AGAIN}"


@dataclass(frozen=True, slots=True)
class Shortage:
    """numbers: errno of the system's error. signs: what libraries and databases write for it."""

    numbers: frozenset[int]
    signs: re.Pattern[str]
    cause: str
    hint: str


def _row(numbers: set[int], signs: str, cause: str, hint: str) -> Shortage:
    return Shortage(frozenset(numbers), re.compile(signs, re.IGNORECASE), cause, hint)


SHORTAGES = (
    _row(
        {errno.ENOSPC},
        r"no space left on device|database or disk is full|the disk is full",
        "the disk is full",
        f"free space, {_AGAIN}",
    ),
    _row({errno.EDQUOT}, r"disk quota exceeded", "the disk quota is used up", f"free space, {_AGAIN}"),
    _row({errno.EFBIG}, r"file too large", "a file would be larger than this process may write", _LIMIT),
    _row(
        {errno.EROFS},
        r"read-only file system|attempt to write a readonly database",
        "the file system is read-only",
        "mount it writable, or set MTL_HOME and MTL_STORE to folders elsewhere",
    ),
    _row({errno.EACCES}, r"permission denied", "permission denied", _ACCESS),
    _row({errno.EPERM}, r"operation not permitted", "operation not permitted", _ACCESS),
    _row(
        {errno.ENOTDIR},
        r"not a directory",
        "a part of the path is a file",
        "set MTL_HOME and MTL_STORE to folders",
    ),
    _row({errno.EMFILE, errno.ENFILE}, r"too many open files", "too many files are open at once", _FILES),
    _row({errno.ENOMEM}, r"cannot allocate memory", "no memory is left", f"free memory, {_AGAIN}"),
)
_DATABASE = re.compile(r"disk I/O error|unable to open database file", re.IGNORECASE)
"""What SQLite says of several of these at once."""


def by_number(number: int | None) -> Shortage | None:
    """The shortage that an errno stands for."""
    return next((row for row in SHORTAGES if number in row.numbers), None)


def by_text(text: str) -> Shortage | None:
    """The shortage that a text speaks of. SQLite's general words are explained by the limit that is in force."""
    named = next((row for row in SHORTAGES if row.signs.search(text)), None)
    if named is None and _DATABASE.search(text):
        if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
            return by_number(errno.EFBIG)
        return _row(set(), "", "a database could not be opened or written", f"mtl doctor says why; {_AGAIN}")
    return named


def explained(error: BaseException) -> MtlError | None:
    """The error that names the shortage behind `error` or behind what it came from; None for any other fault."""
    for item in _chain(error):
        found = by_number(item.errno) if isinstance(item, OSError) else None
        if found is None and _of_a_database(item):
            found = by_text(str(item))
        if found is not None:
            return PermanentError(f"{found.cause}: {_detail(item)}", hint=found.hint)
    return None


@contextmanager
def reported() -> Iterator[None]:
    """Raise the error that names the shortage instead of what a library raised for it."""
    try:
        yield
    except MtlError:
        raise
    except Exception as error:
        found = explained(error)
        if found is None:
            raise
        raise found from error


def _of_a_database(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) or type(error).__module__.startswith("sqlalchemy.")


def _detail(error: BaseException) -> str:
    """The file of an OSError, else the first line of its text."""
    if isinstance(error, OSError) and error.filename is not None:
        return str(error.filename)
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from."""
    chain: list[BaseException] = []
    item: BaseException | None = error
    while item is not None and item not in chain:
        chain.append(item)
        item = item.__cause__ or item.__context__
    return chain
