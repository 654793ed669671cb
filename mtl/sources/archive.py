"""Rows from a tar archive, as RACE and CNN/DailyMail are given away: read in passing, nothing is unpacked to disk.

Every member goes through tar's `data` filter first: absolute paths, `..`, devices and links out of the archive are
refused. Links within are refused too: data have no need of them.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import cached_property, partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from mtl.errors import DataError, NotFoundError, did_you_mean
from mtl.fingerprint import sha256_file, sha256_json
from mtl.sources.base import AS_USUAL, WHOLE, Description, FileOptions, Part, RawRow
from mtl.sources.files import KNOWN, SPLITS, by_split, hidden
from mtl.sources.formats import Unpacked, format_of, is_document, read_stream
from mtl.sources.race import level_in, spread

ENDINGS = (".tar", ".tar.gz", ".tgz")


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
        marks = [str(self._path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        return sha256_json([*marks, *self._choice()])

    def size(self) -> int:
        return self._path.stat().st_size * (1 if self._path.suffix == ".tar" else 3)

    def _choice(self) -> list[dict[str, str] | dict[str, int]]:
        return [self._patterns, self._limits]

    def _read(self, split: str, part: Part) -> Iterator[RawRow]:
        numbers = {name: number for number, name in enumerate(self._files.get(split, ()))}
        for name, file in _members(self._path):
            number = numbers.get(name)
            if number is None or (is_document(name) and not part.has(number, 0)):
                continue
            level = level_in(f"{self._path.name}/{name}") if is_document(name) else None
            for row in read_stream(_unzipped(file, name), name, name, partial(part.has, number), self._options):
                whole = RawRow(row.value, row.file, row.line, number)
                yield from spread(whole, level=level, numbered=is_document(name))

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """Names of the data files of each split, in the order of the archive."""
        names = [name for name, _ in _members(self._path) if format_of(PurePosixPath(name).name)]
        if not names:
            raise NotFoundError(f"no data files in {self._uri}", field="sources.uri", hint=f"looked for {KNOWN}")
        if not self._patterns:
            return by_split(names, self._uri)
        chosen = {split: [name for name in names if fnmatch(name, glob)] for split, glob in self._patterns.items()}
        for split, found in chosen.items():
            if not found:
                pattern = self._patterns[split]
                hint = did_you_mean(pattern, names[:200])
                raise NotFoundError(f"no file {pattern!r} in {self._uri}", field=f"sources.files.{split}", hint=hint)
        return chosen


def _members(path: Path) -> Iterator[tuple[str, BinaryIO]]:
    """(name, content) of each regular file, in order; the content is gone when the next one is asked for."""
    with _opened(path) as archive:
        for member in archive:
            safe = _checked(member, path)
            if not member.isdir() and not hidden(Path(safe)):
                file = archive.extractfile(member)
                if file is not None:
                    yield safe, cast("BinaryIO", file)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    packed = path.suffix in (".gz", ".tgz")
    plain = io.BufferedReader(Unpacked(path, path.name), 2**18) if packed else path.open("rb")
    try:
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
        raise DataError(f"{path.name}: {member.name!r} leads out of the archive")
    if member.islnk() or member.issym():
        raise DataError(f"{path.name}: {member.name!r} is a link", hint="pack the files themselves")
    if not (member.isreg() or member.isdir()):
        raise DataError(f"{path.name}: {member.name!r} is a device or a pipe", hint="pack plain files")
    return name.as_posix()


def _unzipped(file: BinaryIO, name: str) -> BinaryIO:
    if name.lower().endswith(".gz"):
        raise DataError(f"{name}: a gzip file within an archive", hint="unpack the archive and name the folder")
    return file
