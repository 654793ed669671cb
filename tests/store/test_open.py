"""open_store: what MTL_STORE may hold, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.errors import InputError
from mtl.settings import store_patience
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from mtl.store.open import open_store


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("some/store", f"{tmp_path}/some/store", f"file://{tmp_path}/some/store"):
        store = open_store(uri)
        assert isinstance(store, FolderStore)
        assert store.uri == f"{tmp_path}/some/store"
    assert open_store("./a:b").uri == f"{tmp_path}/a:b"
    assert open_store(f"file://{tmp_path}/with%20space").uri == f"{tmp_path}/with space"


def test_memory_is_shared_by_name() -> None:
    store = open_store("memory:test-open")
    assert isinstance(store, MemoryStore)
    assert open_store("memory:test-open") is store
    assert open_store("memory:test-other") is not store


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("", "no object store given\n  a folder, or s3://bucket/prefix"),
        ("s3a://bucket", r"unknown kind of object store 's3a' in 's3a://bucket'; did you mean 's3'\?"),
        ("gs://bucket", "unknown kind of object store 'gs'.*; known: file, memory, s3"),
        ("http://user:hunter2@host/x", r"'http://\.\.\.@host/x'"),
        ("file://host/path", "is no local folder\n  file:///absolute/folder"),
        ("s3://", "names no bucket and prefix\n  s3://bucket/prefix; credentials and endpoint come from AWS_"),
        ("s3:///prefix", "names no bucket"),
        ("s3://key:hunter2@bucket/prefix", "names no bucket"),
        ("s3://bucket/a/../b", "unsafe object key"),
    ],
)
def test_everything_else_is_refused_with_what_to_write(uri: str, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        open_store(uri)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan", "inf"])
def test_a_patience_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"MTL_STORE_PATIENCE is '{text}', no positive number of seconds"):
        store_patience({"MTL_STORE_PATIENCE": text})
    assert store_patience({}) == 300
    assert store_patience({"MTL_STORE_PATIENCE": "2.5"}) == 2.5
