"""Rows from `s3://bucket/prefix`: objects are copied once to a local folder and read from there.

Credentials and endpoint come from the AWS_* variables, as for the object store.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from mtl.errors import DamageError, InputError, NotFoundError
from mtl.fingerprint import sha256_bytes, sha256_file, sha256_json
from mtl.seal import seal, unseal
from mtl.sources.base import WHOLE, Chunk, Description, Known, Local, Note, Part, RawRow, Source
from mtl.sources.listing import ARCHIVES, folded, hidden, left_out
from mtl.store.base import ObjectInfo, ObjectStore, check_key
from mtl.store.files import disk_errors

_log = logging.getLogger(__name__)


class BucketSource:
    """The source that `read` makes of a local copy of `uri`, which is kept in `cache` until the listing changes.

    Hashes are kept beside the copy. `describe`, with which every preparation begins, compares all of them, and fetches
    what is not as it came; the workers that read afterwards do not read everything once more for that.
    """

    def __init__(self, uri: str, *, cache: Path, read: Callable[[Path], Source], store: ObjectStore) -> None:
        self._uri, self._cache, self._make, self._store = uri, cache, read, store
        self._fresh: set[str] = set()  # what this object has fetched itself

    def splits(self) -> tuple[str, ...]:
        return self._source.splits()

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        return self._source.rows(split, part)

    def chunks(self, split: str, of: int, known: Known) -> list[Chunk]:
        return self._source.chunks(split, of, known)

    def read(self, chunk: Chunk) -> Iterator[RawRow]:
        return self._source.read(chunk)

    def local(self, chunk: Chunk) -> Local | None:
        return self._source.local(chunk)

    def describe(self) -> Description:
        self._source  # noqa: B018  what is missing is fetched
        hashes = self._hashes()
        for info in self._listing[0]:
            if info.key not in self._fresh and sha256_file(self._folder / info.key) != hashes.get(info.key):
                _log.warning("the local copy of %s in %s is damaged and is fetched again", info.key, self._uri)
                self._fetch(info.key)
        return replace(self._source.describe(), uri=self._uri)

    def stamp(self) -> str:
        """Of the listing alone: an object that was replaced has another time, size or tag."""
        return sha256_json([self._uri, self._marks(), [note.name for note in self._listing[1]]])

    def size(self) -> int:
        return sum(info.size for info in self._listing[0])

    def notes(self) -> list[Note] | None:
        its = self._source.notes() if "_source" in vars(self) else None
        return None if its is None else [*its, *self._listing[1]]

    def _marks(self) -> list[list[str | int | float]]:
        return [[info.key, info.size, info.modified, info.etag] for info in self._listing[0]]

    @cached_property
    def _listing(self) -> tuple[list[ObjectInfo], list[Note]]:
        """Objects of data, and what is left out."""
        name = _file_in(self._uri)
        found = [
            (info, left_out(info.key))
            for info in self._store.list(name)
            if (not name or info.key == name) and not info.key.endswith("/")  # what consoles make for a folder
        ]
        data = [info for info, note in found if note is None or info.key == name]
        if not data:
            raise NotFoundError(f"no data objects under {self._uri}", field="sources.uri", hint="is the prefix right?")
        return data, folded(note for info, note in found if note and info.key != name)

    @cached_property
    def _root(self) -> Path:
        return self._cache / "sources" / sha256_bytes(self._uri.encode())[:32]

    @cached_property
    def _kept(self) -> Path:
        """What belongs to this listing: the copy, and the hashes of its files."""
        return self._root / sha256_json([self._uri, self._marks()])[:32]

    @cached_property
    def _folder(self) -> Path:
        name = _file_in(self._uri)
        parts = [part for part in urlsplit(self._uri).path.removesuffix(name).split("/") if part.strip(".")]
        return self._kept.joinpath("data", *parts[-2:])

    @cached_property
    def _source(self) -> Source:
        """Of the copy, whose folders are named as those of the objects are: levels and splits go by their names."""
        hashes = self._hashes()
        for info in self._listing[0]:
            path = self._folder / check_key(info.key)
            if info.key not in hashes or not path.is_file() or path.stat().st_size != info.size:
                self._fetch(info.key)
        for other in self._root.iterdir():
            if other != self._kept:
                shutil.rmtree(other, ignore_errors=True)  # of an older listing
        self._remove_strangers()
        name = _file_in(self._uri)
        return self._make(self._folder / name if name else self._folder)

    def _fetch(self, key: str) -> None:
        """Copy an object, then note its hash; killed between the two, it is fetched again."""
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        self._store.get_file(key, path)
        line = seal({"key": key, "sha256": sha256_file(path)}) + b"\n"
        with disk_errors("write", self._notes), self._notes.open("ab") as notes:
            notes.write(line)
        self._fresh.add(key)

    @property
    def _notes(self) -> Path:
        return self._kept / "hashes.jsonl"

    def _hashes(self) -> dict[str, str]:
        """Of each copied object as it came; what is not there, or damaged, is fetched again."""
        found = {}
        for line in self._notes.read_bytes().splitlines() if self._notes.is_file() else ():
            with suppress(DamageError):
                note = unseal(line, str(self._notes), hint="the object is fetched again")
                found[str(note["key"])] = str(note["sha256"])
        return found

    def _remove_strangers(self) -> None:
        """Of what lies in the copy's folder, only the listed objects are rows."""
        known = {self._folder / info.key for info in self._listing[0]}
        for path in self._folder.rglob("*"):
            if path not in known and not path.is_dir() and not hidden(path.relative_to(self._folder).as_posix()):
                path.unlink(missing_ok=True)


def open_bucket(uri: str) -> ObjectStore:
    """The store whose keys are relative to the prefix (or to the folder of the one object) that `uri` names."""
    from mtl.store.s3 import S3Store  # boto3 takes a third of a second to import

    parts = urlsplit(uri)
    if not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError("an s3 source names no bucket and prefix", field="sources.uri", hint="s3://bucket/prefix")
    name = _file_in(uri)
    return S3Store(parts.netloc, parts.path.removesuffix(name) if name else parts.path)


def _file_in(uri: str) -> str:
    """The name of the one object that `uri` ends in, '' for a prefix."""
    name = uri.rpartition("/")[2]
    return name if _is_data(name) else ""


def _is_data(name: str) -> bool:
    return left_out(name) is None or name.lower().endswith(ARCHIVES)
