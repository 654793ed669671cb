"""Files of data sets on this machine: verified whenever they are read, and kept as far as there is room for them."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from mtl.data.manifest import FileEntry
from mtl.errors import DamageError
from mtl.store.base import ObjectStore
from mtl.store.files import disk_errors
from mtl.store.scratch import scratch

AGAIN = "remove the data set's manifest.json from the store and prepare it again"


@contextmanager
def local_file(store: ObjectStore, key: str, *, entry: FileEntry, cache: Path, room: int) -> Iterator[BufferedReader]:
    """A file of a data set, open for reading and verified.

    It is kept below `cache` if all files of data sets there take at most `room` bytes then; files of other data sets
    make way, the oldest first. If there is no room, it is there for as long as it is read. Files of the same data set
    stay: they are read in turn, again and again, so the one that was read last is needed last.
    Errors: DamageError for bytes that are not what was written, and those of `ObjectStore.get_file`.
    """
    path = cache / key
    file = _kept(path, entry.sha256) or _fetched(store, key, path, entry=entry, cache=cache, room=room)
    with file:
        yield file


def keep_files(made: Path, prefix: str, entries: Sequence[FileEntry], *, cache: Path, room: int) -> None:
    """Moves files from the folder `made`, where they were just written, to `cache / prefix`, as far as there is room.

    prefix: of the data set. Others make way as they do in `local_file`; what does not fit is left in `made`.
    """
    folder = cache / prefix
    with _others_waiting(folder), disk_errors("write", folder):
        for entry in entries:
            if _make_room(folder / entry.path, entry.bytes, room):
                (made / entry.path).replace(folder / entry.path)


def _kept(path: Path, sha256: str) -> BufferedReader | None:
    """The copy that is there already. Once it is open, another process may remove it."""
    try:
        with disk_errors("read", path):
            file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None
    if _matches(file, sha256):
        return file
    file.close()
    path.unlink(missing_ok=True)
    return None


def _fetched(store: ObjectStore, key: str, path: Path, *, entry: FileEntry, cache: Path, room: int) -> BufferedReader:
    """The object, downloaded to a folder that a later process removes if this one is killed."""
    with _others_waiting(path.parent):
        _make_room(path, entry.bytes, room)
    with scratch(cache / "arriving") as folder:
        arrived = folder / path.name
        store.get_file(key, arrived)
        file = arrived.open("rb")
        if not _matches(file, entry.sha256):
            file.close()
            fingerprint = path.parent.name[:12]
            raise DamageError(f"{path.name} of data set {fingerprint} is not what was written", hint=AGAIN)
        with _others_waiting(path.parent):  # two processes must not take the same room
            if _make_room(path, entry.bytes, room):
                with disk_errors("write", path):
                    arrived.replace(path)
        return file


@contextmanager
def _others_waiting(folder: Path) -> Iterator[None]:
    """One process at a time changes which files of data sets are kept. folder: of the data set, made if need be."""
    with disk_errors("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder.parent / ".lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _matches(file: BufferedReader, sha256: str) -> bool:
    found = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return found == sha256


def _make_room(path: Path, size: int, room: int) -> bool:
    """Whether `path` may be `size` bytes. Other data sets make way for it; its own only if the room was made less."""
    found = [
        (its.parent == path.parent, status.st_mtime, its, status.st_size)
        for its, status in _files(path.parent.parent)
        if its != path
    ]
    used = sum(its_size for *_, its_size in found)
    for own, _, its, its_size in sorted(found):
        if used > room or (not own and used + size > room):
            its.unlink(missing_ok=True)
            used -= its_size
    return used + size <= room


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in folder.glob("*/*"):
        with suppress(FileNotFoundError):  # a reader that found it damaged has removed it
            yield path, path.stat()
