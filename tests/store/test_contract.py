"""What every ObjectStore must do, on all of them."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtl.errors import InputError, NotFoundError
from mtl.store.base import ObjectStore

BIG = 11 << 20  # three parts on S3


def test_what_is_put_comes_back(store: ObjectStore) -> None:
    store.put("a/b=1/c_d-e.json", b"\x00\xff data")
    assert store.get("a/b=1/c_d-e.json") == b"\x00\xff data"


def test_a_put_overwrites_whole(store: ObjectStore) -> None:
    store.put("a", b"long first content")
    store.put("a", b"short")
    assert store.get("a") == b"short"


def test_empty_objects(store: ObjectStore, tmp_path: Path) -> None:
    store.put("empty", b"")
    assert store.get("empty") == b""
    store.get_file("empty", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""


@pytest.mark.parametrize("size", [0, 1000, BIG])
def test_files_go_in_and_out(store: ObjectStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "in").write_bytes(data)
    store.put_file("files/x", tmp_path / "in")
    store.get_file("files/x", tmp_path / "new" / "out")
    assert (tmp_path / "new" / "out").read_bytes() == data
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]
    info = store.head("files/x")
    assert info is not None
    assert info.size == size


def test_get_file_replaces_the_old_file_and_keeps_it_on_failure(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(NotFoundError):
        store.get_file("missing", path)
    assert path.read_bytes() == b"old"
    store.put("x", b"new")
    store.get_file("x", path)
    assert path.read_bytes() == b"new"


def test_missing_things(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no object .*a/b"):
        store.get("a/b")
    with pytest.raises(NotFoundError, match="no file"):
        store.put_file("a/b", tmp_path / "none")
    assert store.head("a/b") is None
    assert list(store.list("")) == []
    store.delete("a/b")
    store.put("a/b/c", b"x")
    assert store.head("a/b") is None
    with pytest.raises(NotFoundError):
        store.get("a/b")


def test_put_if_absent_writes_once(store: ObjectStore) -> None:
    assert store.put_if_absent("log/1", b"first")
    assert not store.put_if_absent("log/1", b"second")
    assert store.get("log/1") == b"first"
    store.delete("log/1")
    assert store.put_if_absent("log/1", b"third")


def test_put_if_absent_has_one_winner_of_twelve(store: ObjectStore) -> None:
    with ThreadPoolExecutor(12) as pool:
        for round_number in range(3):
            key = f"log/{round_number}"
            wins = list(pool.map(lambda n, key=key: store.put_if_absent(key, b"writer %d" % n), range(12)))
            assert wins.count(True) == 1
            assert store.get(key) == b"writer %d" % wins.index(True)


def test_readers_see_a_whole_object_while_it_is_overwritten(store: ObjectStore) -> None:
    contents = {bytes([n]) * 200_000 for n in range(4)}
    store.put("x", next(iter(contents)))
    with ThreadPoolExecutor(6) as pool:
        writes = [pool.submit(store.put, "x", data) for data in contents for _ in range(3)]
        reads = [pool.submit(store.get, "x") for _ in range(20)]
        assert all(read.result() in contents for read in reads)
        for write in writes:
            write.result()


def test_list_is_in_key_order_and_by_prefix(store: ObjectStore) -> None:
    for key in ["runs/b", "runs/a-1/x", "runs/a/x", "runs/a/log/000000000002.json", "other", "runs/a.x"]:
        store.put(key, key.encode())
    assert [info.key for info in store.list("")] == sorted(
        ["runs/b", "runs/a-1/x", "runs/a/x", "runs/a/log/000000000002.json", "other", "runs/a.x"]
    )
    assert [info.key for info in store.list("runs/a/")] == ["runs/a/log/000000000002.json", "runs/a/x"]
    assert [info.key for info in store.list("runs/a")] == [
        "runs/a-1/x",
        "runs/a.x",
        "runs/a/log/000000000002.json",
        "runs/a/x",
    ]
    assert [info.size for info in store.list("other")] == [5]
    assert list(store.list("nothing/")) == []


def test_modified_is_now(store: ObjectStore) -> None:
    store.put("x", b"1")
    info = store.head("x")
    assert info is not None
    assert abs(info.modified - time.time()) < 5
    assert [listed.key for listed in store.list("")] == ["x"]


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a b", "a\\b", "a\n", "ü", "~aside/x"])
def test_unsafe_keys_are_refused_by_every_operation(store: ObjectStore, tmp_path: Path, key: str) -> None:
    (tmp_path / "f").write_bytes(b"x")
    for operation in (
        lambda: store.get(key),
        lambda: store.put(key, b""),
        lambda: store.put_if_absent(key, b""),
        lambda: store.head(key),
        lambda: store.delete(key),
        lambda: store.get_file(key, tmp_path / "g"),
        lambda: store.put_file(key, tmp_path / "f"),
    ):
        with pytest.raises(InputError, match="unsafe object key"):
            operation()
    if key not in ("", "a/"):
        with pytest.raises(InputError):
            list(store.list(key))


def test_sweep_touches_no_object(store: ObjectStore) -> None:
    store.put("x", b"1")
    assert store.sweep(before=time.time() + 100) == 0
    assert store.get("x") == b"1"


def test_its_clock_is_the_one_that_modified_goes_by(store: ObjectStore) -> None:
    store.put("x", b"1")
    info = store.head("x")
    assert info is not None
    assert abs(store.now() - info.modified) < 10
    assert [info.key for info in store.list("")] == ["x"]
