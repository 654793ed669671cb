"""Source: where the rows of one task come from. Adding one touches one file and one line of `mtl.sources.open`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mtl.task import BadRow

BLOCK = 256
"""Rows of a file that stay together when rows are shared out."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of `of` shares of all rows. Blocks of BLOCK rows are dealt out in turn; a file's number sets who begins."""

    index: int = 0
    of: int = 1

    def has(self, file: int, row: int) -> bool:
        """Whether row `row` (from 0) of file `file` (from 0) is in this share."""
        return (file + row // BLOCK) % self.of == self.index


WHOLE = Part()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of one split that are read together: a part of all of them where the source knows no more, or whole files,
    or lines of one file.

    files: (number among the split's files, name). start, stop: bytes of the one file, stop None for whole files.
    first: lines before `start`. above: bytes that stand before those of the chunk for its reader, such as the header.
    begins: whether a file's first rows are in it. sha256: of all in the source that decides the rows, their places left
    out; empty where that is not known. content: of its bytes alone. size: about how much there is to read.
    """

    split: str
    part: Part = WHOLE
    files: tuple[tuple[int, str], ...] = ()
    start: int = 0
    stop: int | None = None
    first: int = 0
    above: bytes = b""
    begins: bool = True
    sha256: str = ""
    content: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Local:
    """Files of this machine's disk: `names` below `root`, of one split. called: the folder's own name, which may speak
    of the rows."""

    root: Path
    called: str
    split: str
    names: tuple[str, ...]

    def moved(self, folder: Path) -> Local:
        """The copy in `folder`."""
        return replace(self, root=folder / self.called)


Known = Callable[[Chunk], bool]
"""Whether the rows of a chunk are at hand: it was read before, and found sound."""


def in_parts(split: str, of: int, size: int) -> list[Chunk]:
    """All rows of a split, dealt out: for sources of which nothing is known without reading them."""
    return [Chunk(split, Part(index, of), size=size // of) for index in range(of)]


Wanted = Callable[[int], bool]
"""Whether the row of this number, from 0, is asked for: what is not is skipped unread where that can be."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How files are read, where the source says so.

    delimiter: of csv files, None for the comma. encoding: of text files, None for UTF-8. columns: those that somebody
    reads, None for all of them.
    """

    delimiter: str | None = None
    encoding: str | None = None
    columns: frozenset[str] | None = None


AS_USUAL = FileOptions()


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it was found, or why it could not even be read, and where: a file's name and a line (or row) from 1.

    number: of the file among those of its split, from 0; with the line it orders rows however they were shared out.
    """

    value: Mapping[str, Any] | BadRow
    file: str
    line: int
    number: int = 0

    @property
    def origin(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Description:
    """What the manifest says of a source: `sha256` stands for the content, wherever it is kept."""

    task: str
    uri: str
    revision: str | None
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        return {"task": self.task, "uri": self.uri, "revision": self.revision, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Note:
    """What a person should know of a source: a file or folder that is left out, or how its splits were told apart.

    name: of what is left out, relative to the source; empty where the text is of the whole source.
    usual: there is nothing to look at, as with a README beside data.
    """

    name: str
    text: str
    usual: bool = False


class Source(Protocol):
    """Rows by split. Errors: DataError for content that must not be read on, NotFoundError for what is not there."""

    def splits(self) -> tuple[str, ...]:
        """Those of train, validation and test that it has, in this order."""
        ...

    def rows(self, split: str, part: Part = WHOLE) -> Iterator[RawRow]:
        """The part's rows of a split in a fixed order, read as they are asked for."""
        ...

    def chunks(self, split: str, of: int, known: Known) -> list[Chunk]:
        """All rows of a split in pieces of work, in order where they have files; `of` of them where that is free."""
        ...

    def read(self, chunk: Chunk) -> Iterator[RawRow]:
        """The rows of a chunk in order. TransientError if the file is no longer what the chunk was cut from."""
        ...

    def local(self, chunk: Chunk) -> Local | None:
        """The files that `read` reads for the chunk; None for a source that any machine reaches by itself."""
        ...

    def describe(self) -> Description:
        """Its sha256 is of all that determines the rows: content, names, and what was asked for."""
        ...

    def stamp(self) -> str:
        """A text, quickly had, that changes whenever the rows may have changed; equal stamps mean equal rows."""
        ...

    def size(self) -> int:
        """About how many bytes there are to read: whether sharing the work out pays."""
        ...

    def notes(self) -> list[Note] | None:
        """All that is left out, by name, and more; None where that takes reading and `splits` was not asked for yet."""
        ...
