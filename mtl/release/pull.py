"""pull: copy a release to a folder, verified, resumable, without MLflow.

Files that are right already are kept, others are written aside and renamed, several at a time; what was read of a
file before a cut is not read again. The manifest comes last: a folder with a manifest is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtl.errors import DamageError, InputError, NotFoundError, did_you_mean
from mtl.layout import MANIFEST, SIGNATURE, release_prefix
from mtl.release.fetch import Source, StoreSource, fetch, is_right
from mtl.release.journal import read_journal
from mtl.release.layout import (
    ReleaseFile,
    ReleaseManifest,
    damaged,
    known_releases,
    parse_manifest,
    parse_version,
    published_versions,
    read_manifest,
)
from mtl.release.signature import check_folder_signature, check_signature, read_signature
from mtl.store.base import ObjectStore
from mtl.store.files import disk_errors, written_aside

Progress = Callable[[str, int, int], None]
NAMES = ("champion", "previous", "candidate")
_ASIDE = ".mtl-pull"
AT_ONCE = 4
"""Files that are fetched at once."""


def resolve_version(store: ObjectStore, ref: str, *, model: str) -> int:
    """The version that `champion`, `previous`, `candidate` (the newest published) or `vN` stands for.

    Errors: NotFoundError that lists what there is.
    """
    version = parse_version(ref) or _named(store, ref, model)
    if version is None:
        raise NotFoundError(f"{model} has no {ref} yet", hint=known_releases(store, model))
    return version


def _named(store: ObjectStore, ref: str, model: str) -> int | None:
    if ref not in NAMES:
        raise NotFoundError(f"no release {ref!r} of {model}; {did_you_mean(ref, NAMES)}", hint="or a version like v3")
    if ref == "candidate":
        return max(published_versions(store, model), default=None)
    journal = read_journal(store, model)
    return journal.champion if ref == "champion" else journal.previous


def pull(
    store: ObjectStore, ref: str, dest: Path, *, model: str, progress: Progress = lambda path, done, total: None
) -> ReleaseManifest:
    """Make `dest` hold the release `ref` and nothing of another one; called again, it goes on where it was cut off.

    progress: called with (path, bytes done, bytes in all) after each file.
    Errors: NotFoundError listing what exists; DamageError naming the file that the store does not hold as it was
    published; SignatureError for a wrong signature, or a required one that is missing; InputError if `dest` holds
    something else.
    """
    manifest = find_release(store, ref, model=model)
    source = StoreSource(store, release_prefix(model, manifest.version))
    return fetch_release(source, manifest, dest, progress=progress)


def find_release(store: ObjectStore, ref: str, *, model: str) -> ReleaseManifest:
    """The manifest of the release `ref`; that of a promoted version is the one that was promoted.

    Errors: NotFoundError listing what exists, DamageError, SignatureError.
    """
    manifest = read_manifest(store, model, resolve_version(store, ref, model=model))
    check_signature(manifest, read_signature(store, release_prefix(model, manifest.version)))
    read_journal(store, model).check_pinned(manifest)
    return manifest


def fetch_release(
    source: Source,
    manifest: ReleaseManifest,
    dest: Path,
    *,
    progress: Progress = lambda path, done, total: None,
) -> ReleaseManifest:
    """Make `dest` hold exactly the files of `manifest` and its signature, several at a time. Errors: as `pull`."""
    signature = source.signature()
    check_signature(manifest, signature)
    with _alone(dest):
        old = _prepare(dest)
        if old != manifest:
            (dest / MANIFEST).unlink(missing_ok=True)
        _fetch_all(source, manifest, dest, progress)
        _remove_others(dest, old, manifest)
        _write_signature(dest, signature)
        with written_aside(dest / MANIFEST) as out:
            out.write(manifest.to_bytes())
        with contextlib.suppress(OSError):  # a part of a release that was begun before is still there
            (dest / _ASIDE).rmdir()
    return manifest


@contextlib.contextmanager
def _alone(dest: Path) -> Iterator[None]:
    """The folder, made if it is missing, to oneself: two pulls of different releases would mix their files.

    A pull into it that is under way is waited for; its lock falls with its process.
    """
    if dest.exists() and not dest.is_dir():
        raise InputError(f"{dest} is a file", field="dest", hint="give a new or empty folder")
    with disk_errors("write", dest):
        dest.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(dest, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a network drive without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fetch_all(source: Source, manifest: ReleaseManifest, dest: Path, progress: Progress) -> None:
    """Every file that is not right yet; after an error no further one is begun."""
    total = sum(file.bytes for file in manifest.files)
    done = 0
    lock = threading.Lock()

    def one(file: ReleaseFile) -> None:
        nonlocal done
        if not is_right(dest / file.path, file):
            fetch(source, file, dest, aside=dest / _ASIDE)
        with lock:
            done += file.bytes
            progress(file.path, done, total)

    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="mtl-pull") as pool:
        futures = [pool.submit(one, file) for file in manifest.files]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _write_signature(dest: Path, signature: bytes | None) -> None:
    if signature is None:
        (dest / SIGNATURE).unlink(missing_ok=True)
        return
    with written_aside(dest / SIGNATURE) as out:
        out.write(signature)


def verify_folder(folder: Path) -> ReleaseManifest:
    """The manifest of a pulled folder whose files are all right, and whose signature is, if it has one.

    Errors: NotFoundError; DamageError naming the file; SignatureError, also if a signature is required and missing.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(f"{folder} holds no release", hint="mtl pull champion DEST makes one")
    manifest = parse_manifest(path.read_bytes(), str(path))
    for file in manifest.files:
        if not is_right(folder / file.path, file):
            raise damaged(str(folder / file.path), file)
    check_folder_signature(manifest, folder)
    return manifest


def _prepare(dest: Path) -> ReleaseManifest | None:
    """The manifest of the release that the folder held before, if any. Errors: InputError for a foreign folder."""
    filled = any(dest.iterdir())
    begun = (dest / _ASIDE).is_dir()
    old = _old_manifest(dest)
    if filled and not begun and old is None:
        raise InputError(f"{dest} holds something that is no release", field="dest", hint="give a new or empty folder")
    _refuse_links(dest)
    with disk_errors("write", dest):
        (dest / _ASIDE).mkdir(parents=True, exist_ok=True)
    return old


def _refuse_links(dest: Path) -> None:
    """InputError for a link in the folder by which something outside of it would be written or removed."""
    for path in dest.rglob("*"):
        if path.is_symlink() and (path.is_dir() or path.parent.name == _ASIDE):
            raise InputError(f"{path} is a link", field="dest", hint="remove it, or give a new or empty folder")


def _old_manifest(dest: Path) -> ReleaseManifest | None:
    try:
        return parse_manifest((dest / MANIFEST).read_bytes(), MANIFEST)
    except (OSError, DamageError):
        return None


def _remove_others(dest: Path, old: ReleaseManifest | None, new: ReleaseManifest) -> None:
    """Remove what only the release that was here before had."""
    kept = {file.path for file in new.files}
    for file in old.files if old else ():
        if file.path not in kept:
            (dest / file.path).unlink(missing_ok=True)
