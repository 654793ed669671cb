"""Rows of a csv file: a header line, then one record a row, quoted as RFC 4180 says.

A file without a damaged place is read at the speed of Python's own reader. At the first place that its rules do not
cover the file is read again from the beginning by `csv_damage`, which sees all of it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator
from functools import partial
from itertools import islice
from typing import BinaryIO

from mtl.errors import DataError
from mtl.sources.base import FileOptions, RawRow, Wanted
from mtl.sources.csv_damage import Found, damaged_rows
from mtl.sources.csv_header import check_names, is_separator_line, refuse_other_delimiter
from mtl.sources.csv_record import MAX_LINE, Form
from mtl.sources.spool import seekable
from mtl.task import BadRow

_HEAD = 2**20
"""Bytes in which the header of a file ends."""
_MARK = "\ufeff"
"""The byte order mark, in the middle of a file where another one was put behind the first."""


def read_csv(file: BinaryIO, name: str, wanted: Wanted, options: FileOptions) -> Iterator[RawRow]:
    """Rows with the number of the line on which they begin. Bytes that are not UTF-8 become surrogates, which the task
    refuses row by row.

    Errors: DataError for a header that names no columns, or not by this delimiter.
    """
    csv.field_size_limit(MAX_LINE)
    with seekable(file) as whole:
        table = _Table(whole, name, options)
        for number, (line, found) in enumerate(table.rows() if table.header else ()):
            if wanted(number):
                value = found if isinstance(found, BadRow) else dict(zip(table.header, found, strict=True))
                yield RawRow(value, name, line)


def csv_header(file: BinaryIO, name: str, options: FileOptions) -> tuple[bytes, int]:
    """The bytes of a file up to the end of its header, and the lines that this takes: none where it is not plain."""
    head = file.read(_HEAD)
    try:
        table = _Table(io.BytesIO(head), name, options)
    except DataError:
        return b"", 0
    above = b"".join(head.splitlines(keepends=True)[: table.above])
    plain = table.header and above.endswith(b"\n") and not _old_line_ends(above)
    return (above, table.above) if plain else (b"", 0)


def csv_is_sound(data: bytes, name: str, options: FileOptions) -> bool:
    """Whether a header and lines give the same rows here as in the midst of any other lines of that kind."""
    csv.field_size_limit(MAX_LINE)
    if _old_line_ends(data):
        return False
    rows = _Table(io.BytesIO(data), name, options).clean_rows(alone=True)
    try:
        while True:
            next(rows)
    except StopIteration as end:
        return end.value is None
    except DataError:
        return False


def _old_line_ends(data: bytes) -> bool:
    """Whether a line ends with a carriage return alone."""
    return data.count(b"\r") != data.count(b"\r\n")


class _Table:
    """header: names of the columns, none for an empty file. above: lines up to its end."""

    def __init__(self, file: BinaryIO, name: str, options: FileOptions) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._name, self._delimiter = name, options.delimiter or ","
        self.header, self.above = self._read_header(options)
        self._form = Form(self._delimiter, len(self.header))

    def _lines(self, skip: int = 0) -> Iterator[str]:
        """Physical lines behind the first `skip`; of one that is longer than MAX_LINE the beginning alone."""
        self._text.seek(0)
        for number, line in enumerate(iter(partial(self._text.readline, MAX_LINE), "")):
            rest = line
            while len(rest) == MAX_LINE and not rest.endswith("\n"):
                rest = self._text.readline(MAX_LINE)
            if number >= skip:
                yield line

    def _read_header(self, options: FileOptions) -> tuple[list[str], int]:
        """(names, lines up to the end of the header)"""
        feed = _Feed(self._lines(), self._delimiter)
        try:
            for fields in csv.reader(feed, delimiter=self._delimiter, strict=True):
                if feed.count == 1 and is_separator_line(feed.lines[0], self._name, options):
                    continue
                if any(field.strip() for field in fields):
                    return check_names(fields, self._name, self._delimiter, needed=options.columns), feed.count
        except csv.Error as error:
            refuse_other_delimiter(feed.lines[0], self._name, self._delimiter)
            message = f"{self._name}:{feed.count}: no header line: {error}"
            raise DataError(message, hint="the first line names the columns") from None
        return [], feed.count

    def rows(self) -> Iterator[Found]:
        """(line, fields or why they are no row) of each row."""
        done = yield from self.clean_rows()
        if done is None:
            return
        found = damaged_rows(lambda: self._lines(self.above), self._form, number=self.above)
        yield from ((line, self._checked(row, line)) for line, row in islice(found, done, None))

    def clean_rows(self, *, alone: bool = False) -> Generator[Found, None, int | None]:
        """Rows up to the first damaged place; returns how many they were, or None at the end of the file.

        alone: without what the rows before say about the next.
        """
        feed, done, folded = _Feed(self._lines(self.above), self._delimiter), 0, False
        form, width, names = self._form, len(self.header), set(self.header)
        try:
            for fields in csv.reader(feed, delimiter=self._delimiter, strict=True):
                lines, line = feed.lines, self.above + feed.count - len(feed.lines) + 1
                problem = None
                if len(fields) != width or feed.odd or width == 1:
                    if len(lines) == 1 and not lines[0].strip():
                        feed.begin()
                        continue
                    problem = form.problem(fields, lines)
                if len(lines) > 1 and (problem or not form.folded(lines, others=folded)):
                    return done
                if problem == "over length":
                    return done
                folded = not alone and (folded or len(lines) > 1)
                feed.begin()
                if problem:
                    yield line, BadRow(problem, "line")
                else:
                    again = fields[0] in names or fields[0].startswith(_MARK)
                    yield line, self._checked(fields, line) if again else fields
                done += 1
        except csv.Error:
            return done
        return None

    def _checked(self, found: list[str] | BadRow, line: int) -> list[str] | BadRow:
        """A row, or the header once more: files that were put one behind the other."""
        if isinstance(found, BadRow):
            return found
        fields = [field.strip(f"{_MARK} \t") for field in found]
        if fields == self.header:
            return BadRow("repeated header", "line")
        if sorted(fields) == sorted(self.header):
            raise DataError(
                f"{self._name}:{line}: the header comes again with its columns in another order: {', '.join(fields)}",
                hint="two files were put one behind the other: keep them as two files",
            )
        return found


class _Feed:
    """Physical lines for Python's reader. lines: of the record that is being read; count: of all so far."""

    def __init__(self, lines: Iterator[str], delimiter: str) -> None:
        self._source = lines
        self._spaced = f'{delimiter} "'
        self.count = 0
        self.begin()

    def begin(self) -> None:
        self.lines: list[str] = []
        self._quotes, self._marked = 0, False

    @property
    def odd(self) -> bool:
        """Whether the record has what a well-written one has not: it takes a closer look."""
        return self._marked or self._quotes % 2 == 1

    def __iter__(self) -> Iterator[str]:
        for line in self._source:
            self.count += 1
            self.lines.append(line)
            quotes = line.count('"')
            if quotes:
                self._quotes += quotes
                spaced = line.count(self._spaced) > line.count(f'{self._spaced}"')
                self._marked = self._marked or spaced or '\\"' in line
            if len(line) >= MAX_LINE:
                self._marked = True
            yield line
