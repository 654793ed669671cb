"""Source: where the rows of one task come from. Adding one touches one file and one line of `mtl.sources.open`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
