"""MemoryStore: the in-memory twin for tests; the same contract, and hooks where a fault can be put."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mtl.errors import NotFoundError
from mtl.store.base import ObjectInfo, check_key, check_prefix
from mtl.store.files import open_source, written_aside

Hook = Callable[[str, str], None]


def _nothing(operation: str, key: str) -> None:
    """The hook that does nothing."""


class MemoryStore:
    """Objects in a dict under a lock.

    before, after: called with (operation, key) around each operation, outside the lock. What `before` raises
    prevents the operation; what `after` raises loses its answer. clock: gives the modification times.
    """

    def __init__(
        self,
        name: str = "",
        *,
        before: Hook = _nothing,
        after: Hook = _nothing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._objects: dict[str, tuple[bytes, float]] = {}
        self._lock = threading.Lock()
        self.before = before
        self.after = after
        self.clock = clock

    def __repr__(self) -> str:
        return f"MemoryStore({self._name!r}, {len(self._objects)} objects)"

    @property
    def uri(self) -> str:
        return f"memory:{self._name}"

    def get(self, key: str) -> bytes:
        self.before("get", check_key(key))
        data = self._read(key)
        self.after("get", key)
        return data

    def get_file(self, key: str, path: Path) -> None:
        self.before("get_file", check_key(key))
        data = self._read(key)
        with written_aside(path) as file:
            file.write(data)
        self.after("get_file", key)

    def put(self, key: str, data: bytes) -> None:
        self.before("put", check_key(key))
        self._write(key, data)
        self.after("put", key)

    def put_file(self, key: str, path: Path) -> None:
        self.before("put_file", check_key(key))
        with open_source(path) as source:
            self._write(key, source.read())
        self.after("put_file", key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.before("put_if_absent", check_key(key))
        with self._lock:
            absent = key not in self._objects
            if absent:
                self._objects[key] = (bytes(data), self.clock())
        self.after("put_if_absent", key)
        return absent

    def head(self, key: str) -> ObjectInfo | None:
        self.before("head", check_key(key))
        with self._lock:
            found = self._objects.get(key)
        self.after("head", key)
        return ObjectInfo(key, len(found[0]), found[1]) if found else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.before("list", check_prefix(prefix))
        with self._lock:
            found = sorted((key, len(data), at) for key, (data, at) in self._objects.items() if key.startswith(prefix))
        self.after("list", prefix)
        for key, size, at in found:
            yield ObjectInfo(key, size, at)

    def delete(self, key: str) -> None:
        self.before("delete", check_key(key))
        with self._lock:
            self._objects.pop(key, None)
        self.after("delete", key)

    def now(self) -> float:
        return self.clock()

    def sweep(self, *, before: float) -> int:
        """Nothing is ever half-written here."""
        return 0

    def _read(self, key: str) -> bytes:
        with self._lock:
            found = self._objects.get(key)
        if found is None:
            raise NotFoundError(f"no object {key} in {self.uri}", field=key)
        return found[0]

    def _write(self, key: str, data: bytes) -> None:
        with self._lock:
            self._objects[key] = (bytes(data), self.clock())
