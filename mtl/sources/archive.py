"""Rows from a tar archive, as RACE and CNN/DailyMail are given away: read in passing, nothing is unpacked to disk.

Every member goes through tar's `data` filter first: absolute paths, `..`, devices and links out of the archive are
refused. Links within are refused too: data have no need of them.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from mtl.errors import DataError, NotFoundError, did_you_mean
from mtl.fingerprint import sha256_file, sha256_json
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
    in_parts,
)
from mtl.sources.formats import KNOWN, is_document, is_packed, open_file, read_stream
from mtl.sources.listing import beside, folded, sorted_out
from mtl.sources.names import fits, printable
from mtl.sources.race import level_in, spread
from mtl.sources.splits import SPLITS, Chosen, by_split, split_in


class ArchiveSource:
    """Rows of the data files in the tar archive `path`, split by file or folder name, or by `files` (split -> glob)."""

    def __init__(
        self,
        task: str,
        path: Path,
        *,
        uri: str,
        files: Mapping[str, str],
        limits: Mapping[str, int],
        options: FileOptions = AS_USUAL,
    ) -> None:
        self._task, self._path, self._uri, self._options = task, path, uri, options
        self._patterns, self._limits = dict(files), dict(limits)
        self._own = split_in(path.name)

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in SPLITS if self._files.get(split))

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        limit = self._limits.get(split)
        if limit is None:
            return self._read(split, part)
        return (row for n, row in enumerate(islice(self._read(split, WHOLE), limit)) if part.has(0, n))

    def describe(self) -> Description:
        return Description(self._task, self._uri, None, sha256_json([sha256_file(self._path), *self._choice()]))

    def stamp(self) -> str:
        stat = self._path.stat()
        marks = [printable(self._path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        return sha256_json([*marks, *self._choice()])

    def chunks(self, split: str, of: int, known: Known) -> list[Chunk]:
        return in_parts(split, of, self.size() // len(self.splits()))

    def read(self, chunk: Chunk) -> Iterator[RawRow]:
        return self.rows(chunk.split, chunk.part)

    def local(self, chunk: Chunk) -> Local:
        return Local(self._path.parent, "", chunk.split, (self._path.name,))

    def size(self) -> int:
        return self._path.stat().st_size * (1 if self._path.suffix == ".tar" else 3)

    def notes(self) -> list[Note] | None:
        return self._listed[1] if "_listed" in vars(self) else None

    def _choice(self) -> list[dict[str, str] | dict[str, int] | str | None]:
        """All that determines the rows beside the content: what was asked for, and what the archive's name says."""
        return [self._patterns, self._limits, level_in(self._path.name), self._own]

    def _read(self, split: str, part: Part) -> Iterator[RawRow]:
        numbers = {name: number for number, name in enumerate(self._files.get(split, ()))}
        for name, file in _members(self._path):
            number = numbers.get(name)
            if number is None or (is_document(name) and not part.has(number, 0)):
                continue
            level = level_in(f"{self._path.name}/{name}") if is_document(name) else None
            rows = read_stream(_unpacked(file, name), name, printable(name), partial(part.has, number), self._options)
            for row in rows:
                whole = RawRow(row.value, row.file, row.line, number)
                yield from spread(whole, level=level, numbered=is_document(name))

    @property
    def _files(self) -> Chosen:
        return self._listed[0]

    @cached_property
    def _listed(self) -> tuple[Chosen, list[Note]]:
        """Names of the data files of each split, in the order of the archive, and what is left out."""
        found = sorted_out(name for name, _ in _members(self._path))
        names, others = [name for name, note in found if note is None], folded(note for _, note in found if note)
        if not names:
            hint = beside(f"looked for {KNOWN}", others)
            raise NotFoundError(f"no data files in {self._uri}", field="sources.uri", hint=hint)
        if not self._patterns:
            chosen, notes = by_split(names, self._uri, own=self._own)
            return chosen, [*notes, *others]
        chosen = {split: [name for name in names if fits(name, glob)] for split, glob in self._patterns.items()}
        for split, its in chosen.items():
            if not its:
                pattern = self._patterns[split]
                hint = did_you_mean(pattern, map(printable, names[:200]))
                raise NotFoundError(f"no file {pattern!r} in {self._uri}", field=f"sources.files.{split}", hint=hint)
        return chosen, []


def _members(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    """(name, content) of each regular file, in order; the content is gone when the next one is asked for."""
    with _opened(path) as archive:
        for member in archive:
            safe = _checked(member, path)
            if not member.isdir():
                file = archive.extractfile(member)
                if file is not None:
                    yield safe, cast("BinaryIO", file)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        plain = open_file(path, path.name)
        with plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            yield archive
    except (tarfile.ReadError, EOFError, OSError) as error:
        raise DataError(f"{path.name}: damaged archive: {error}") from None


def _checked(member: tarfile.TarInfo, path: Path) -> str:
    """The member's name, or DataError for one that is no plain file or folder inside the archive.

    Not tarfile's own filter, which Python 3.11.0 to 3.11.3 do not have; what is never unpacked needs less.
    """
    name = PurePosixPath(member.name.lstrip("/"))
    if ".." in name.parts:
        raise DataError(f"{path.name}: {printable(member.name)!r} leads out of the archive")
    if member.islnk() or member.issym():
        raise DataError(f"{path.name}: {printable(member.name)!r} is a link", hint="pack the files themselves")
    if not (member.isreg() or member.isdir()):
        raise DataError(f"{path.name}: {printable(member.name)!r} is a device or a pipe", hint="pack plain files")
    return name.as_posix()


def _unpacked(file: BinaryIO, name: str) -> BinaryIO:
    if is_packed(name):
        hint = "unpack the archive and name the folder"
        raise DataError(f"{printable(name)}: a packed file within an archive", hint=hint)
    return file
