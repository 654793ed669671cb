"""ObjectStore: the seam between this project and wherever bytes are kept.

A key is a relative path of `[A-Za-z0-9._=-]` segments joined by `/`; no `..`, no absolute path. A put is atomic: a
reader sees the whole object or none. `put_if_absent` is the one condition used, because it is the one that S3 and
its compatible stores share; compare-and-set is built from it (see `mtl.store.log`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mtl.errors import InputError

_KEY = re.compile(r"[A-Za-z0-9._=-]+(?:/[A-Za-z0-9._=-]+)*")


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object: its key, size in bytes, and last modification (seconds since the epoch).

    etag: what S3 names the content by in its listings, whose times are whole seconds; empty elsewhere.
    """

    key: str
    size: int
    modified: float
    etag: str = ""


class ObjectStore(Protocol):
    """Bytes by key. Errors: NotFoundError for a missing key, TransientError once bounded retries are used up,
    PermanentError for what retrying cannot mend (credentials, permissions, disk full)."""

    @property
    def uri(self) -> str:
        """What a person would write into MTL_STORE to reach this store."""
        ...

    def get(self, key: str) -> bytes: ...

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object to `path` (written aside, then renamed)."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write or overwrite; durable when it returns."""
        ...

    def put_file(self, key: str, path: Path) -> None: ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write only if nothing has this key. False: something has it (perhaps an own earlier try, see the log)."""
        ...

    def head(self, key: str) -> ObjectInfo | None: ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, in key order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error."""
        ...

    def now(self) -> float:
        """What time it is by the clock that `modified` goes by, in seconds since the epoch: how old an object is, is a
        question to the store's clock, not to this machine's."""
        ...

    def sweep(self, *, before: float) -> int:
        """Remove what writers that died left half-written before `before` (by the store's clock): files aside,
        multipart uploads. No object is touched. Returns how many."""
        ...


def check_key(key: str) -> str:
    """`key`, or InputError if it is not of the safe form."""
    if not _KEY.fullmatch(key) or any(part in (".", "..") for part in key.split("/")):
        raise InputError(
            f"unsafe object key {key!r}", hint="keys are segments of letters, digits and . _ = - joined by /"
        )
    return key


def check_prefix(prefix: str) -> str:
    """`prefix`, or InputError if no safe key could start with it. Empty: all keys."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix
