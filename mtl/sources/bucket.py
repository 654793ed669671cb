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
from mtl.sources.archive import ENDINGS
from mtl.sources.base import WHOLE, Description, Part, RawRow, Source
from mtl.sources.files import hidden
from mtl.sources.formats import format_of
from mtl.store.base import ObjectInfo, ObjectStore
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

    def describe(self) -> Description:
        self._source  # noqa: B018  what is missing is fetched
        hashes = self._hashes()
        for info in self._listing:
            if info.key not in self._fresh and sha256_file(self._folder / info.key) != hashes.get(info.key):
                _log.warning("the local copy of %s in %s is damaged and is fetched again", info.key, self._uri)
                self._fetch(info.key)
        return replace(self._source.describe(), uri=self._uri)

    def stamp(self) -> str:
        """Of the listing alone: an object that was replaced has another time or size."""
        return sha256_json([self._uri, *([info.key, info.size, info.modified] for info in self._listing)])

    def size(self) -> int:
        return sum(info.size for info in self._listing)

    @cached_property
    def _listing(self) -> list[ObjectInfo]:
        name = _file_in(self._uri)
        found = [info for info in self._store.list(name) if _is_data(info.key) and (not name or info.key == name)]
        if not found:
            raise NotFoundError(f"no data objects under {self._uri}", field="sources.uri", hint="is the prefix right?")
        return found

    @cached_property
    def _root(self) -> Path:
        return self._cache / "sources" / sha256_bytes(self._uri.encode())[:32]

    @cached_property
    def _folder(self) -> Path:
        return self._root / self.stamp()[:32] / "data"

    @cached_property
    def _source(self) -> Source:
        hashes = self._hashes()
        for info in self._listing:
            path = self._folder / info.key
            if info.key not in hashes or not path.is_file() or path.stat().st_size != info.size:
                self._fetch(info.key)
        for other in self._root.iterdir():
            if other != self._folder.parent:
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
        return self._folder.parent / "hashes.jsonl"

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
        known = {self._folder / info.key for info in self._listing}
        for path in self._folder.rglob("*"):
            if path not in known and not path.is_dir() and not hidden(path.relative_to(self._folder)):
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


def _is_data(key: str) -> bool:
    name = key.rpartition("/")[2]
    return not hidden(Path(key)) and (format_of(name) is not None or name.lower().endswith(ENDINGS))
