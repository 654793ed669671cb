"""Files on this machine as chunks: a large text file in several of them, small files together, any other file alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from mtl.errors import TransientError
from mtl.fingerprint import sha256_bytes, sha256_file, sha256_json
from mtl.sources.base import Chunk, FileOptions, Known, Part, RawRow
from mtl.sources.csv_reader import csv_header, csv_is_sound
from mtl.sources.cutting import Cut, cut_lines
from mtl.sources.formats import csv_options, format_of, is_document, is_packed, is_plain, read_lines
from mtl.sources.names import printable

_LINES = ("jsonl", "ndjson", "jsonlines")
_TABLES = ("csv", "tsv")
SMALL = 2**16
"""Bytes of a file that shares a chunk with its neighbours."""
_TOGETHER = 2**19
LARGE = 2**22
"""Bytes of a file that several processes read, each its own share of the rows."""


class FileChunks:
    """Chunks of files below `root`. level: what the folders of a document say of its rows."""

    def __init__(self, root: Path, options: FileOptions, level: Callable[[str], str | None]) -> None:
        self._root, self._options, self._level = root, options, level

    def of(self, split: str, files: Sequence[str], shares: int, known: Known) -> list[Chunk]:
        """All files of a split in order. shares: of a large file that cannot be cut."""
        found: list[Chunk] = []
        together: list[tuple[int, str, int]] = []
        for number, name in enumerate(files):
            size = (self._root / name).stat().st_size
            if size <= SMALL:
                together.append((number, name, size))
                if not _ends_group(name) and sum(its for *_, its in together) < _TOGETHER:
                    continue
            found += self._together(split, together)
            together = []
            if size > SMALL:
                found += self._cut(split, number, name, known) or self._alone(split, number, name, size, shares)
        return found + self._together(split, together)

    def _together(self, split: str, files: Sequence[tuple[int, str, int]]) -> list[Chunk]:
        if not files:
            return []
        marks = [[printable(name), self._level(name), sha256_file(self._root / name)] for _, name, _ in files]
        named = tuple((number, name) for number, name, _ in files)
        content, size = sha256_json([its for *_, its in marks]), sum(size for *_, size in files)
        return [Chunk(split, files=named, sha256=sha256_json(["files", marks]), content=content, size=size)]

    def _alone(self, split: str, number: int, name: str, size: int, shares: int) -> list[Chunk]:
        of = shares if size > LARGE and not is_document(name) else 1
        content = sha256_json([sha256_file(self._root / name)])
        mark = [format_of(name), is_packed(name), self._level(name), content]
        mark += [printable(name)] if is_document(name) else []
        whole = Chunk(split, files=((number, name),), content=content)
        return [
            replace(whole, part=Part(index, of), sha256=sha256_json(["file", *mark, index, of]), size=size // of)
            for index in range(of)
        ]

    def _cut(self, split: str, number: int, name: str, known: Known) -> list[Chunk]:
        """The lines of a file, or nothing if its rows do not depend on them alone."""
        kind = format_of(name)
        if kind not in (*_LINES, *_TABLES) or self._options.encoding is not None:
            return []
        path = self._root / name
        if not is_plain(path, printable(name), self._options):
            return []
        with path.open("rb") as file:
            if kind in _LINES:
                return [self._chunk(split, number, name, cut) for cut in cut_lines(file) or ()]
            above, lines = csv_header(file, printable(name), csv_options(kind, self._options))
            cuts = cut_lines(file, len(above), quoted=True) if lines else None
            if any(cut.stop - cut.start > LARGE for cut in cuts or ()):  # a quote that nothing closes
                return []
            chunks = [self._chunk(split, number, name, cut, above, lines) for cut in cuts or ()]
            options = csv_options(kind, self._options)
            fresh = (chunk for chunk in chunks if not known(chunk))
            sound = all(csv_is_sound(_bytes(file, chunk), printable(name), options) for chunk in fresh)
        return chunks if sound else []

    def _chunk(self, split: str, number: int, name: str, cut: Cut, above: bytes = b"", lines: int = 0) -> Chunk:
        begins = cut.first == 0
        mark = ["lines", format_of(name), begins, sha256_bytes(above), cut.content]
        return Chunk(
            split,
            files=((number, name),),
            start=cut.start,
            stop=cut.stop,
            first=lines + cut.first,
            above=above,
            begins=begins,
            sha256=sha256_json(mark),
            content=cut.content,
            size=cut.stop - cut.start,
        )

    def lines(self, chunk: Chunk) -> Iterator[RawRow]:
        """The rows of a chunk of lines."""
        ((number, name),) = chunk.files
        with (self._root / name).open("rb") as file:
            data = _bytes(file, chunk)
        if hashlib.sha256(memoryview(data)[len(chunk.above) :]).hexdigest() != chunk.content:
            raise _changed(name)
        before = chunk.first - chunk.above.count(b"\n")
        for row in read_lines(data, name, printable(name), self._options):
            yield RawRow(row.value, row.file, row.line + before, number)

    def check_whole(self, chunk: Chunk) -> None:
        """TransientError if the files are no longer those that the chunk was made of."""
        try:
            same = chunk.content == sha256_json([sha256_file(self._root / name) for _, name in chunk.files])
        except OSError:
            same = False
        if not same:
            raise _changed(chunk.files[0][1])


def _changed(name: str) -> TransientError:
    hint = "prepare again; give files another name while they are written, and rename them when whole"
    return TransientError(f"{printable(name)} changed while it was read", hint=hint)


def _ends_group(name: str) -> bool:
    """By the name alone, so that a new file leaves the other groups as they are."""
    return int(sha256_bytes(name.encode(errors="surrogateescape"))[:8], 16) % 128 == 0


def _bytes(file: BinaryIO, chunk: Chunk) -> bytes:
    """What the reader of a chunk gets."""
    file.seek(chunk.start)
    return chunk.above + file.read((chunk.stop or 0) - chunk.start)
