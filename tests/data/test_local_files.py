"""Local copies of a data set's files: within their room, verified, and never left behind half-read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtl.data.local_files import keep_files, local_file
from mtl.data.manifest import FileEntry
from mtl.errors import DamageError, NotFoundError
from mtl.fingerprint import sha256_bytes
from mtl.store.memory import MemoryStore

SIZE = 100


def content(key: str) -> bytes:
    return key.encode().ljust(SIZE, b".")


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    for key in (f"datasets/{name}/mcq-train-{number}.parquet" for name in "abc" for number in range(4)):
        made.put(key, content(key))
    return made


def read(store: MemoryStore, name: str, number: int, cache: Path, *, room: int) -> bytes:
    key = f"datasets/{name}/mcq-train-{number}.parquet"
    with local_file(store, key, entry=entry_of(key), cache=cache, room=room) as file:
        return file.read()


def entry_of(key: str) -> FileEntry:
    return FileEntry(path=key.rpartition("/")[2], bytes=SIZE, sha256=sha256_bytes(content(key)))


def kept(cache: Path) -> set[str]:
    """Files of data sets, and what is left of downloads."""
    files = {path.relative_to(cache).as_posix() for path in cache.rglob("*") if path.is_file()}
    return {path for path in files if not path.endswith(".lock")}


def names(*files: tuple[str, int]) -> set[str]:
    return {f"datasets/{name}/mcq-train-{number}.parquet" for name, number in files}


@pytest.mark.parametrize(("room", "files"), [(0, 0), (SIZE - 1, 0), (2 * SIZE, 2), (4 * SIZE, 4), (10**9, 4)])
def test_files_are_kept_as_far_as_there_is_room(store: MemoryStore, tmp_path: Path, room: int, files: int) -> None:
    for _ in range(2):
        for number in range(4):
            data = read(store, "a", number, tmp_path, room=room)
            assert data == content(f"datasets/a/mcq-train-{number}.parquet")
            assert kept(tmp_path) <= names(*(("a", number) for number in range(4)))
    assert kept(tmp_path) == names(*(("a", number) for number in range(files)))


def test_what_is_kept_is_not_fetched_again(store: MemoryStore, tmp_path: Path) -> None:
    data = read(store, "a", 0, tmp_path, room=SIZE)
    store.delete("datasets/a/mcq-train-0.parquet")
    assert read(store, "a", 0, tmp_path, room=SIZE) == data
    with pytest.raises(NotFoundError):
        read(store, "a", 0, tmp_path / "other", room=SIZE)


def test_other_data_sets_make_way_the_oldest_first(store: MemoryStore, tmp_path: Path) -> None:
    for age, (name, number) in enumerate([("b", 0), ("a", 0), ("b", 1)]):
        read(store, name, number, tmp_path, room=4 * SIZE)
        os.utime(tmp_path / f"datasets/{name}/mcq-train-{number}.parquet", (age, age))
    read(store, "c", 0, tmp_path, room=3 * SIZE)
    assert kept(tmp_path) == names(("a", 0), ("b", 1), ("c", 0))
    for number in range(1, 4):
        read(store, "c", number, tmp_path, room=3 * SIZE)
    assert kept(tmp_path) == names(("c", 0), ("c", 1), ("c", 2))


def test_a_smaller_room_holds_from_the_next_file_on(store: MemoryStore, tmp_path: Path) -> None:
    for number in range(3):
        read(store, "b", number, tmp_path, room=10**9)
        os.utime(tmp_path / f"datasets/b/mcq-train-{number}.parquet", (number, number))
    read(store, "b", 3, tmp_path, room=2 * SIZE)
    assert kept(tmp_path) == names(("b", 1), ("b", 2))
    read(store, "a", 0, tmp_path, room=SIZE)
    assert kept(tmp_path) == names(("a", 0))


def test_a_file_that_is_removed_while_it_is_read_is_read_to_its_end(store: MemoryStore, tmp_path: Path) -> None:
    key = "datasets/a/mcq-train-0.parquet"
    read(store, "a", 0, tmp_path, room=SIZE)
    with local_file(store, key, entry=entry_of(key), cache=tmp_path, room=SIZE) as file:
        read(store, "b", 0, tmp_path, room=SIZE)
        assert kept(tmp_path) == names(("b", 0))
        assert file.read() == content(key)


def test_a_damaged_object_leaves_nothing_behind(store: MemoryStore, tmp_path: Path) -> None:
    store.put("datasets/a/mcq-train-0.parquet", b"x")
    with pytest.raises(DamageError, match=r"^mcq-train-0.parquet of data set a is not what was written\n  remove"):
        read(store, "a", 0, tmp_path, room=SIZE)
    assert kept(tmp_path) == set()


def test_what_a_killed_download_left_is_removed_by_the_next(store: MemoryStore, tmp_path: Path) -> None:
    left = tmp_path / "arriving" / "work-killed"
    left.mkdir(parents=True)
    (left / ".mcq-train-0.parquet.0~").write_bytes(b"half")
    read(store, "a", 0, tmp_path, room=0)
    assert kept(tmp_path) == set()


def make(folder: Path, name: str) -> list[FileEntry]:
    """All files of a data set, as a preparation leaves them."""
    folder.mkdir()
    entries = [entry_of(f"datasets/{name}/mcq-train-{number}.parquet") for number in range(4)]
    for entry in entries:
        (folder / entry.path).write_bytes(content(f"datasets/{name}/{entry.path}"))
    return entries


@pytest.mark.parametrize(("room", "files"), [(0, 0), (2 * SIZE, 2), (4 * SIZE, 4)])
def test_files_that_were_made_here_are_kept_as_far_as_there_is_room(
    store: MemoryStore, tmp_path: Path, room: int, files: int
) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "made"
    for number in range(4):
        read(store, "a", number, cache, room=room)
    keep_files(folder, "datasets/b", make(folder, "b"), cache=cache, room=room)
    assert kept(cache) == names(*(("b", number) for number in range(files)))
    for number in range(4):
        assert read(store, "b", number, cache, room=room) == content(f"datasets/b/mcq-train-{number}.parquet")
