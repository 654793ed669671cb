"""Does a store do what this project needs? Behind `mtl doctor`."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from mtl.errors import DamageError, PermanentError
from mtl.store.base import ObjectStore

PROBE = "probe"
"""Where its keys are; a folder store keeps the empty folder."""
_WRITERS = 8
_SECONDS = 30.0


def probe_store(store: ObjectStore) -> None:
    """Put, get, list, conditional puts in turn and at once, delete, on keys of its own below PROBE.

    Raises what the store raises, DamageError if other bytes come back, and PermanentError if the second conditional
    put overwrites: some S3 servers ignore `If-None-Match`, and two owners of one run would not notice each other.
    """
    key = f"{PROBE}/{uuid.uuid4().hex}"
    try:
        first, second = store.put_if_absent(key, b"first"), store.put_if_absent(key, b"second")
        if not first or second or _winners(store, f"{key}-race") != 1:
            raise PermanentError(
                f"{store.uri} ignores the condition of a conditional put (If-None-Match: *)",
                field="MTL_STORE",
                hint="use AWS S3, Ceph or another store that obeys it, also when many put at once, or a local folder",
            )
        _check(store, key, expected=b"first")
        store.put(key, b"third")
        _check(store, key, expected=b"third")
        if [info.size for info in store.list(key)] != [5]:
            raise DamageError(f"{store.uri} does not list what was put", field="MTL_STORE")
    finally:
        store.delete(key)


def _winners(store: ObjectStore, key: str) -> int:
    """How many of several writers at once put a key that must be absent: some servers look first and write later."""
    together = Barrier(_WRITERS)

    def write(number: int) -> bool:
        together.wait(_SECONDS)
        return store.put_if_absent(key, b"%d" % number)

    try:
        with ThreadPoolExecutor(_WRITERS) as pool:
            return sum(pool.map(write, range(_WRITERS)))
    finally:
        store.delete(key)


def _check(store: ObjectStore, key: str, *, expected: bytes) -> None:
    if store.get(key) != expected:
        raise DamageError(f"{store.uri} gives other bytes than were put", field="MTL_STORE")
