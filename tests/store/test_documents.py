"""Documents that nothing could make again: one intact copy is enough, and mends the other."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from mtl.errors import DamageError, NotFoundError
from mtl.fingerprint import canonical_json
from mtl.store.documents import copy_key, delete_document, put_document, read_document
from mtl.store.folder import FolderStore

KEY = "runs/a/result.json"
COPY = "runs/a/result.copy.json"
DOCUMENT = {"steps": 6, "loss": {"mcq": 1.5}}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def read(store: FolderStore) -> dict[str, object]:
    return read_document(store, KEY, hint="train again")


def flip(store: FolderStore, key: str) -> None:
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))


def test_both_copies_are_the_same_bytes_and_hold_the_keys_as_they_were(store: FolderStore) -> None:
    put_document(store, KEY, DOCUMENT)
    assert copy_key(KEY) == COPY
    assert store.get(KEY) == store.get(COPY)
    assert json.loads(store.get(KEY)).items() >= DOCUMENT.items()
    assert read(store) == DOCUMENT


@pytest.mark.parametrize("key", [KEY, COPY])
@pytest.mark.parametrize("damage", ["flip", "cut", "zero", "delete"])
def test_either_copy_mends_the_other(
    store: FolderStore, caplog: pytest.LogCaptureFixture, key: str, damage: str
) -> None:
    put_document(store, KEY, DOCUMENT)
    whole = store.get(KEY)
    if damage == "flip":
        flip(store, key)
    elif damage == "delete":
        store.delete(key)
    else:
        store.put(key, whole[:-1] if damage == "cut" else bytes(len(whole)))
    with caplog.at_level(logging.WARNING):
        assert read(store) == DOCUMENT
    assert (store.get(KEY), store.get(COPY)) == (whole, whole)
    assert ("its copy is intact" in caplog.text) == (key == KEY and damage != "delete")


def test_without_an_intact_copy_it_says_what_to_do(store: FolderStore) -> None:
    put_document(store, KEY, DOCUMENT)
    flip(store, KEY)
    flip(store, COPY)
    with pytest.raises(DamageError, match=r"runs/a/result.json is damaged: .*\n  train again"):
        read(store)


def test_none_is_not_found_and_none_is_left_after_deleting(store: FolderStore) -> None:
    put_document(store, KEY, DOCUMENT)
    delete_document(store, KEY)
    assert list(store.list("")) == []
    with pytest.raises(NotFoundError):
        read(store)


def test_one_of_an_earlier_version_is_read_and_sealed(store: FolderStore) -> None:
    store.put(KEY, canonical_json(DOCUMENT))
    assert read(store) == DOCUMENT
    assert store.get(KEY) == store.get(COPY) != canonical_json(DOCUMENT)
    flip(store, KEY)
    assert read(store) == DOCUMENT


def test_a_store_that_cannot_be_written_is_read_all_the_same(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtl.errors import PermanentError

    put_document(store, KEY, DOCUMENT)
    store.delete(COPY)

    def refuse(key: str, data: bytes) -> None:
        raise PermanentError("the file system is read-only")

    monkeypatch.setattr(store, "put", refuse)
    assert read(store) == DOCUMENT
