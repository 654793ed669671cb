"""probe_store: passes on every store that keeps the contract, and names the one that does not."""

from __future__ import annotations

import time

import pytest

from mtl.errors import PermanentError
from mtl.store.base import ObjectStore
from mtl.store.memory import MemoryStore
from mtl.store.probe import probe_store


def test_good_stores_pass_and_keep_nothing(store: ObjectStore) -> None:
    probe_store(store)
    assert list(store.list("")) == []


class IgnoresConditions(MemoryStore):
    """As some S3 servers do: twelve writers, twelve winners."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.put(key, data)
        return True


def test_a_store_that_ignores_the_condition_is_named() -> None:
    store = IgnoresConditions("bad")
    with pytest.raises(PermanentError, match="memory:bad ignores the condition of a conditional put"):
        probe_store(store)
    assert list(store.list("")) == []


class Hasty(MemoryStore):
    """Looks first and writes later, as some servers do: right one after the other, wrong at once."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if self.head(key) is not None:
            return False
        time.sleep(0.05)
        self.put(key, data)
        return True


def test_a_store_in_which_two_writers_at_once_both_win_is_refused() -> None:
    with pytest.raises(PermanentError, match="ignores the condition of a conditional put"):
        probe_store(Hasty())
