"""Bringing a commit's files down and checking every byte: shared by restore and by `mtl checkpoints verify`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from mtl.checkpoints.policies import missing_files, unsafe_names
from mtl.checkpoints.records import Commit, FileRecord, Manifest, manifest_key, read_manifest
from mtl.errors import DamageError, NotFoundError
from mtl.fingerprint import sha256_file
from mtl.layout import blob_key
from mtl.store.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not what was committed: in which commit, which object, which file, and what is wrong."""

    step: int
    key: str
    file: str
    problem: str

    def __str__(self) -> str:
        return f"step {self.step}: {self.file}: {self.problem} ({self.key})"


def load_manifest(store: ObjectStore, identity: str, commit: Commit) -> Manifest:
    """The manifest of `commit`. DamageError if it is missing or not what was committed."""
    key = manifest_key(identity, commit)
    try:
        return read_manifest(store.get(key), commit, identity=identity)
    except NotFoundError:
        raise DamageError("manifest is missing", field=key) from None


def fetch_commit(
    store: ObjectStore, identity: str, *, commit: Commit, folder: Path, required: Collection[str]
) -> Iterator[Damage]:
    """Copy the files of `commit` into `folder` (which exists) and yield what is damaged; nothing if all is right.

    Raises what the store raises for trouble other than damage: a store that does not answer is not damage.
    """
    key = manifest_key(identity, commit)
    try:
        manifest = load_manifest(store, identity, commit)
    except DamageError as error:
        yield Damage(commit.step, key, "manifest", error.message)
        return
    names = [file.name for file in manifest.files]
    for name in unsafe_names(names):
        yield Damage(commit.step, key, name, "unsafe file name")
        return
    for name in missing_files(names, required):
        yield Damage(commit.step, key, name, "not in the manifest")
    for file in manifest.files:
        problem = _fetch(store, identity, file=file, path=folder / file.name)
        if problem:
            yield Damage(commit.step, blob_key(identity, file.sha256), file.name, problem)


def _fetch(store: ObjectStore, identity: str, *, file: FileRecord, path: Path) -> str:
    """Copy one file; what is wrong with it, or ''."""
    try:
        store.get_file(blob_key(identity, file.sha256), path)
    except NotFoundError:
        return "blob is missing"
    except DamageError as error:
        return error.message
    size = path.stat().st_size
    if size != file.bytes:
        return f"{size} bytes instead of {file.bytes}"
    return "" if sha256_file(path) == file.sha256 else "its sha256 is not that of the commit"
