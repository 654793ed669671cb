"""FolderStore: objects as files below one folder, durable and atomic on any POSIX file system with hard links.

A put writes a file aside, fsyncs it, renames it over the key and fsyncs the folder, so that neither a killed writer
nor a power loss leaves half an object. `put_if_absent` links the file instead: the link is refused if the key exists.
Files aside live in `~aside/`, a name no key can have; their writers hold a lock on them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from mtl.errors import InputError, NotFoundError, PermanentError
from mtl.store.base import ObjectInfo, check_key, check_prefix
from mtl.store.files import disk_errors, fsync_folder, open_source, publish_copy

_ASIDE = "~aside"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV}


class FolderStore:
    """Objects below `path`, which is created on the first write. Safe for many processes and threads at once.

    Errors: InputError for an unsafe key or one that leads out of the folder through a link; PermanentError for a full
    disk or a missing permission.
    """

    def __init__(self, path: Path | str) -> None:
        self._root = Path(path).absolute()

    def __repr__(self) -> str:
        return f"FolderStore({str(self._root)!r})"

    @property
    def uri(self) -> str:
        return str(self._root)

    def get(self, key: str) -> bytes:
        with self._open(key) as file, disk_errors("read", self._root / key):
            return file.read()

    def get_range(self, key: str, start: int, *, end: int) -> bytes:
        """Bytes `start` to `end` (not included) of an object; nothing checks them but the reader."""
        with self._open(key) as file, disk_errors("read", self._root / key):
            file.seek(start)
            return file.read(end - start)

    def get_file(self, key: str, path: Path) -> None:
        with self._open(key) as file:
            publish_copy(file, path)

    def put(self, key: str, data: bytes) -> None:
        self._publish(key, lambda file: _write(file, data), replace=True)

    def put_file(self, key: str, path: Path) -> None:
        with open_source(path) as source:
            self._publish(key, lambda file: shutil.copyfileobj(source, file, 1 << 20), replace=True)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self._publish(key, lambda file: _write(file, data), replace=False)

    def head(self, key: str) -> ObjectInfo | None:
        try:
            with self._open(key) as file:
                status = os.fstat(file.fileno())
        except NotFoundError:
            return None
        return ObjectInfo(key, status.st_size, status.st_mtime)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, in key order; links and leftovers are no objects."""
        check_prefix(prefix)
        start = self._root / prefix.rpartition("/")[0]
        found = []
        for folder, folders, names in os.walk(start):
            if _ASIDE in folders:
                folders.remove(_ASIDE)
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix) and not path.is_symlink():
                    with contextlib.suppress(FileNotFoundError):  # deleted since the walk saw it
                        status = path.stat()
                        found.append(ObjectInfo(key, status.st_size, status.st_mtime))
        yield from sorted(found, key=lambda info: info.key)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with disk_errors("delete", path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            fsync_folder(path.parent)

    def now(self) -> float:
        """The file system's clock (of a network drive its server's), from a file that is made for it."""
        path = self._root / _ASIDE
        with disk_errors("write", path):
            _make_folders(path, self._root)
            with TemporaryFile(dir=path) as file:
                return os.fstat(file.fileno()).st_mtime

    def sweep(self, *, before: float) -> int:
        """Delete files aside of writers that died, last written before `before`. Returns how many.

        That of a writer that lives is locked, and stays whatever a clock says.
        """
        swept = 0
        for path in list((self._root / _ASIDE).glob("*")):
            with disk_errors("delete", path), contextlib.suppress(FileNotFoundError):
                if path.lstat().st_mtime < before:
                    swept += _delete_unless_locked(path)
        return swept

    def _path(self, key: str) -> Path:
        """The file of `key`; InputError if a link on the way leads out of the folder."""
        path = self._root / check_key(key)
        if not path.parent.resolve().is_relative_to(self._root.resolve()):
            raise InputError(f"object key {key!r} leads out of {self._root} through a link", hint="remove that link")
        return path

    def _open(self, key: str) -> BinaryIO:
        path = self._path(key)
        try:
            with disk_errors("read", path):
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    os.close(descriptor)
                    raise FileNotFoundError(path)
                return os.fdopen(descriptor, "rb")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"no object {key} in {self._root}", field=key) from None

    def _publish(self, key: str, write: Callable[[BinaryIO], object], *, replace: bool) -> bool:
        """Write aside, fsync, then rename over the key or link to it. False: not `replace`, and the key exists."""
        path = self._path(key)
        with disk_errors("write", path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not replace and path.exists():
                return False
            _make_folders(self._root / _ASIDE, self._root)
            _make_folders(path.parent, self._root)
            file, aside = _locked_file(self._root / _ASIDE)
            try:
                with file:  # and its lock, until it has its name
                    _share(file, self._root)
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                    won = _rename(aside, path) if replace else _link(aside, path)
            finally:
                aside.unlink(missing_ok=True)
            fsync_folder(path.parent)
        return won


def _locked_file(folder: Path) -> tuple[BinaryIO, Path]:
    """A new file in `folder`, locked for as long as it is open: its writer's mark, which falls with its process."""
    while True:
        path = folder / uuid.uuid4().hex
        file = path.open("xb")
        with contextlib.suppress(OSError):  # a file system without locks, where age alone must do
            fcntl.flock(file, fcntl.LOCK_EX)
        # Between making and locking it, a sweep under a clock that jumped may just have taken it away.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file, path
        file.close()


def _delete_unless_locked(path: Path) -> bool:
    """Whether it was deleted."""
    if stat.S_ISREG(path.lstat().st_mode):
        with path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError:  # a file system without locks
                pass
            path.unlink()
    else:
        path.unlink()
    return True


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _share(file: BinaryIO, root: Path) -> None:
    """Make a file as open to others as the store's folder is, whatever the umask: a store may be a team's."""
    mode = root.stat().st_mode & 0o666
    if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
        os.fchmod(file.fileno(), mode)


def _rename(aside: Path, path: Path) -> bool:
    aside.replace(path)
    return True


def _link(aside: Path, path: Path) -> bool:
    """True if `path` is new. Linking is atomic and never overwrites, unlike a rename."""
    try:
        path.hardlink_to(aside)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise PermanentError(
                f"the file system of {path.parent} has no hard links, which writing without overwriting needs",
                hint="set MTL_STORE to a folder on a local POSIX file system or to s3://bucket/prefix",
            ) from None
        raise
    return True


def _make_folders(folder: Path, root: Path) -> None:
    """`mkdir -p`, each new folder made durable in its parent; those below `root` with its mode."""
    if folder.is_dir():
        return
    _make_folders(folder.parent, root)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        if folder != root and folder.is_relative_to(root):
            mode = stat.S_IMODE(root.stat().st_mode)
            if stat.S_IMODE(folder.stat().st_mode) != mode:
                folder.chmod(mode)
    fsync_folder(folder.parent)
