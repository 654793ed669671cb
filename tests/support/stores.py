"""Stores that die: around any store, for walking through every single write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

from mtl.store.base import ObjectInfo, ObjectStore


class KilledError(BaseException):
    """The process died here. Not an Exception: nothing may handle it."""


class MortalStore:
    """`store`, dying at write number `lives` + 1: before that write, or after it if `late`; dead from then on."""

    def __init__(self, store: ObjectStore, lives: int, *, late: bool = False) -> None:
        self._store = store
        self._late = late
        self.lives = lives

    @property
    def uri(self) -> str:
        return self._store.uri

    def get(self, key: str) -> bytes:
        self._check()
        return self._store.get(key)

    def get_file(self, key: str, path: Path) -> None:
        self._check()
        self._store.get_file(key, path)

    def head(self, key: str) -> ObjectInfo | None:
        self._check()
        return self._store.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._check()
        return self._store.list(prefix)

    def put(self, key: str, data: bytes) -> None:
        self._spend()
        self._store.put(key, data)
        self._check()

    def put_file(self, key: str, path: Path) -> None:
        self._spend()
        self._store.put_file(key, path)
        self._check()

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._spend()
        absent = self._store.put_if_absent(key, data)
        self._check()
        return absent

    def delete(self, key: str) -> None:
        self._spend()
        self._store.delete(key)
        self._check()

    def now(self) -> float:
        self._check()
        return self._store.now()

    def sweep(self, *, before: float) -> int:
        self._check()
        return self._store.sweep(before=before)

    def _spend(self) -> None:
        self._check()
        self.lives -= 1
        if self.lives < 0 and not self._late:
            raise KilledError

    def _check(self) -> None:
        if self.lives < 0:
            raise KilledError


def held(healed: Event) -> Callable[[str, str], None]:
    """For the `before` of a MemoryStore: it hangs until it is healed, for a minute at most."""

    def wait(operation: str, key: str) -> None:
        healed.wait(60)

    return wait
