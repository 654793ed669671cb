"""FolderStore: what a killed or starved writer leaves, links, and errors in words."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtl.errors import InputError, NotFoundError, PermanentError, TransientError
from mtl.store.folder import FolderStore

_KILLED_WRITER = """
import os, signal, sys
from mtl.store.folder import FolderStore
real, left = os.fsync, int(sys.argv[2])
def fsync(descriptor):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(descriptor)
os.fsync = fsync
FolderStore(sys.argv[1]).put("a/x", b"new" * 100_000)
"""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_writer_leaves_the_old_object_or_the_new_one(tmp_path: Path, after: int) -> None:
    """Killed at each fsync in turn: folder aside made, data written, key renamed."""
    store = FolderStore(tmp_path / "store")
    store.put("a/x", b"old")
    process = subprocess.run([sys.executable, "-c", _KILLED_WRITER, store.uri, str(after)], check=False)
    assert process.returncode in (-signal.SIGKILL, 0)
    assert [info.key for info in store.list("")] == ["a/x"]
    assert store.get("a/x") in (b"old", b"new" * 100_000)


@pytest.mark.parametrize(("root", "file"), [(0o700, 0o600), (0o755, 0o644), (0o2770, 0o660)])
def test_objects_are_as_open_as_the_stores_folder_whatever_the_umask(tmp_path: Path, root: int, file: int) -> None:
    """A store may be a team's although what a command leaves elsewhere is for its user alone."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(root)
    store = FolderStore(tmp_path / "store")
    before = os.umask(0o077)
    try:
        store.put("some/folder/x", b"1")
        store.put_if_absent("some/y", b"2")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "store/some/folder/x").stat().st_mode) == file
    assert stat.S_IMODE((tmp_path / "store/some/y").stat().st_mode) == file
    for folder in ("some", "some/folder", "~aside"):
        assert stat.S_IMODE((tmp_path / "store" / folder).stat().st_mode) == root


def test_the_folder_is_made_on_the_first_write_with_all_above_it(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "not" / "there" / "store")
    store.put("a/b", b"1")
    assert store.get("a/b") == b"1"


def test_leftovers_are_swept_by_age(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("x", b"1")
    for name, age in [("old", 1000), ("young", 10)]:
        path = tmp_path / "~aside" / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))
    assert store.sweep(before=time.time() - 100) == 1
    assert [path.name for path in (tmp_path / "~aside").iterdir()] == ["young"]
    assert [info.key for info in store.list("")] == ["x"]


def test_its_clock_is_the_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * 86400)
    assert abs(FolderStore(tmp_path / "new").now() - now) < 60


def test_the_file_of_a_living_writer_is_not_swept_whatever_the_clock_says(tmp_path: Path) -> None:
    """A writer that waits for what it copies; a sweep by a clock two days ahead."""
    store, pipe = FolderStore(tmp_path / "store"), tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(store.put_file, "x", pipe)
        with pipe.open("wb") as source:
            source.write(b"first")
            source.flush()
            while not list((tmp_path / "store" / "~aside").glob("*")):
                time.sleep(0.01)
            assert FolderStore(tmp_path / "store").sweep(before=time.time() + 2 * 86400) == 0
            source.write(b"last")
        put.result()
    assert store.get("x") == b"firstlast"
    assert list((tmp_path / "store" / "~aside").iterdir()) == []


def test_the_file_of_a_killed_writer_is_swept(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    os.mkfifo(tmp_path / "pipe")
    writer = subprocess.Popen([sys.executable, "-c", _WAITING_WRITER, store.uri, str(tmp_path / "pipe")])
    with (tmp_path / "pipe").open("wb"):
        while not list((tmp_path / "store" / "~aside").glob("*")):
            time.sleep(0.01)
        writer.kill()
        writer.wait()
    assert store.sweep(before=time.time() - 100) == 0
    assert store.sweep(before=time.time() + 100) == 1


_WAITING_WRITER = """
import sys
from pathlib import Path
from mtl.store.folder import FolderStore
FolderStore(sys.argv[1]).put_file("x", Path(sys.argv[2]))
"""


def test_a_sweep_between_making_and_locking_costs_no_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many sweeps beside many writers, all by a clock that is ahead."""
    store = FolderStore(tmp_path)
    store.put("x", b"")
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            store.sweep(before=time.time() + 86400)

    with ThreadPoolExecutor(4) as pool:
        sweeps = [pool.submit(sweep) for _ in range(2)]
        try:
            for number in range(100):
                store.put(f"k{number}", b"data")
                assert not store.put_if_absent(f"k{number}", b"other")
        finally:
            done.set()
        for swept in sweeps:
            swept.result()
    assert all(store.get(f"k{number}") == b"data" for number in range(100))


def fail_with(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.ENOSPC, PermanentError, r"cannot write .*/x: the disk is full\n  free space, then run the same"),
        (errno.EDQUOT, PermanentError, r"cannot write .*/x: the disk quota is used up"),
        (errno.EACCES, PermanentError, r"cannot write .*/x: permission denied\n  give this user read and write access"),
        (errno.EROFS, PermanentError, r"cannot write .*/x: the file system is read-only"),
        (errno.EIO, PermanentError, r"cannot write .*/x: Input/output error"),
        (errno.ESTALE, TransientError, r"cannot write .*/x: "),
    ],
)
@pytest.mark.parametrize("operation", ["put", "put_if_absent"])
def test_disk_errors_say_what_to_do_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception], text: str, operation: str
) -> None:
    store = FolderStore(tmp_path / "store")
    store.put("before", b"1")
    fail_with(monkeypatch, number)
    with pytest.raises(kind, match=text):
        getattr(store, operation)("x", b"data")
    monkeypatch.undo()
    assert [info.key for info in store.list("")] == ["before"]
    assert list((tmp_path / "store" / "~aside").iterdir()) == []
    getattr(store, operation)("x", b"data")  # after space is freed
    assert store.get("x") == b"data"


def test_a_full_disk_at_the_destination_of_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path / "store")
    store.put("x", b"1")
    fail_with(monkeypatch, errno.ENOSPC)
    with pytest.raises(PermanentError, match=r"cannot write .*/out: the disk is full"):
        store.get_file("x", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_file_system_without_hard_links_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", link)
    with pytest.raises(PermanentError, match="has no hard links, which writing without overwriting needs"):
        FolderStore(tmp_path).put_if_absent("x", b"1")


def test_links_lead_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store = FolderStore(tmp_path / "store")
    store.put("x", b"1")
    (tmp_path / "store" / "door").symlink_to(outside)
    (tmp_path / "store" / "file").symlink_to(outside / "secret")
    for operation in (
        lambda: store.get("door/secret"),
        lambda: store.put("door/new", b"x"),
        lambda: store.put("door/sub/new", b"x"),
        lambda: store.delete("door/secret"),
    ):
        with pytest.raises(InputError, match=r"leads out of .* through a link"):
            operation()
    with pytest.raises(PermanentError, match="it is a symbolic link"):
        store.get("file")
    assert [info.key for info in store.list("")] == ["x"]
    store.put("file", b"own")  # replaces the link, not what it points to
    assert (outside / "secret").read_bytes() == b"secret"
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]


def test_one_key_cannot_be_object_and_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.put("a/b", b"1")
    for operation in (lambda: store.put("a", b"2"), lambda: store.put_if_absent("a", b"2")):
        with pytest.raises(PermanentError, match="one key cannot be both an object and a folder"):
            operation()
    with pytest.raises(PermanentError, match="a part of the path is a file"):
        store.put("a/b/c", b"2")
    with pytest.raises(NotFoundError):
        store.get("a/b/c")


def test_the_folder_may_itself_be_reached_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    FolderStore(tmp_path / "link").put("a/b", b"1")
    assert FolderStore(tmp_path / "real").get("a/b") == b"1"
