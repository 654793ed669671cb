"""Rows from files on this machine: one file, a folder, or a glob."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice, starmap
from pathlib import Path

from mtl.errors import DataError, NotFoundError, did_you_mean
from mtl.fingerprint import sha256_file, sha256_json
from mtl.settings import local_path
from mtl.sources.base import (
    AS_USUAL,
    WHOLE,
    Chunk,
    Description,
    FileOptions,
    Known,
    Local,
    Note,
    Part,
    RawRow,
    Wanted,
    in_parts,
)
from mtl.sources.file_chunks import FileChunks
from mtl.sources.formats import KNOWN, is_document, is_packed, read_rows
from mtl.sources.listing import Listing, among, beside, check_files, folded, locate
from mtl.sources.names import printable
from mtl.sources.race import level_in, spread
from mtl.sources.splits import SPLITS, Chosen, by_split, own_split


class FileSource:
    """Rows of `files` (split -> file or glob under `uri`), or of whatever `uri` names, split by file or folder name."""

    def __init__(
        self,
        task: str,
        uri: str,
        *,
        files: Mapping[str, str],
        limits: Mapping[str, int],
        options: FileOptions = AS_USUAL,
        local: Local | None = None,
    ) -> None:
        """local: files that were found before, and lie elsewhere now."""
        self._task, self._uri, self._limits, self._options = task, uri, dict(limits), options
        self._notes: list[Note] = []
        listing = locate(local_path(uri)) if local is None else Listing(local.root)
        self._root, self._folder = listing.root, Path(os.path.abspath(listing.root))  # noqa: PTH100  # a link's own name
        if local is not None:
            self._files: Chosen = {local.split: list(local.names)}
        elif files:
            self._files, self._notes = _mapped(listing.root, files, uri)
        else:
            self._files, self._notes = _by_name(listing, own_split(self._folder.parts), uri)
        check_files(self._root, chain.from_iterable(self._files.values()))
        self._chunks = FileChunks(self._root, options, self._level)

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if self._files.get(split))

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        files = self._files.get(split, ())
        limit = self._limits.get(split)
        if limit is not None:
            rows = chain.from_iterable(self._read(number, name, _all) for number, name in enumerate(files))
            return (row for n, row in enumerate(islice(rows, limit)) if part.has(0, n))
        shared = ((number, name, partial(part.has, number)) for number, name in enumerate(files))
        return chain.from_iterable(starmap(self._read, shared))

    def chunks(self, split: str, of: int, known: Known) -> list[Chunk]:
        if split in self._limits:
            return in_parts(split, of, self.size())
        return self._chunks.of(split, self._files[split], of, known)

    def read(self, chunk: Chunk) -> Iterator[RawRow]:
        if not chunk.files:
            return self.rows(chunk.split, chunk.part)
        if chunk.stop is None:
            return self._read_whole(chunk)
        return chain.from_iterable(spread(row, level=None) for row in self._chunks.lines(chunk))

    def local(self, chunk: Chunk) -> Local:
        names = [name for _, name in chunk.files] or self._files[chunk.split]
        return Local(self._root, self._folder.name, chunk.split, tuple(names))

    def _read_whole(self, chunk: Chunk) -> Iterator[RawRow]:
        for number, name in chunk.files:
            yield from self._read(number, name, partial(chunk.part.has, 0))  # wherever it stands among the files
        self._chunks.check_whole(chunk)

    def _read(self, number: int, name: str, wanted: Wanted) -> Iterator[RawRow]:
        document = is_document(name)
        if document and not wanted(0):
            return
        level = self._level(name)
        for row in read_rows(self._root / name, printable(name), wanted, self._options):
            yield from spread(RawRow(row.value, row.file, row.line, number), level=level, numbered=document)

    def _level(self, name: str) -> str | None:
        """The level that a document's folders speak of; other rows say theirs themselves."""
        return level_in(f"{self._folder.name}/{name}") if is_document(name) else None

    def describe(self) -> Description:
        files = {
            split: [[printable(name), self._level(name), sha256_file(self._root / name)] for name in self._files[split]]
            for split in self.splits()
        }
        return Description(self._task, self._uri, None, sha256_json({"files": files, "limits": self._limits}))

    def stamp(self) -> str:
        named = [(split, name, self._level(name)) for split in self.splits() for name in self._files[split]]
        stats = [(*its, (self._root / its[1]).stat()) for its in named]
        marks = [
            [split, printable(name), level, its.st_size, its.st_mtime_ns, its.st_ctime_ns, its.st_ino]
            for split, name, level, its in stats
        ]
        return sha256_json({"root": printable(self._root.resolve()), "files": marks, "limits": self._limits})

    def size(self) -> int:
        sizes = ((self._root / name, is_packed(name)) for name in chain.from_iterable(self._files.values()))
        return sum(path.stat().st_size * (3 if packed else 1) for path, packed in sizes)

    def notes(self) -> list[Note]:
        return self._notes


def _all(row: int) -> bool:
    return True


def _mapped(root: Path, files: Mapping[str, str], uri: str) -> tuple[Chosen, list[Note]]:
    chosen: Chosen = {}
    notes: list[Note] = []
    for split, pattern in files.items():
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise DataError(f"{pattern!r} leaves the folder {uri}", field=f"sources.files.{split}")
        its = among(root, pattern)
        chosen[split], notes = its.files, notes + its.left_out
        if not chosen[split]:
            names = [printable(name) for name in locate(root).files]
            raise NotFoundError(
                f"no file {pattern!r} in {uri}",
                field=f"sources.files.{split}",
                hint=beside(did_you_mean(pattern, names[:200]), its.left_out),
            )
    return chosen, folded(dict.fromkeys(notes))


def _by_name(listing: Listing, own: str | None, uri: str) -> tuple[Chosen, list[Note]]:
    """Split of each file by its name or, failing that, by its nearest folder's; one file alone is train."""
    if not listing.files:
        hint = beside(f"looked for {KNOWN}", listing.left_out)
        raise NotFoundError(f"no data files in {uri}", field="sources.uri", hint=hint)
    chosen, notes = by_split(listing.files, uri, own=own)
    return chosen, [*notes, *listing.left_out]
