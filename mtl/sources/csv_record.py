"""One csv record as RFC 4180 has it, and what else may stand in its place.

A record is one or several physical lines. `Form.problem` says why one cannot be taken as a row; a quote inside an
unquoted field is harmless, except where it may be the end of a field that nobody opened.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

MAX_LINE = 16 * 2**20
"""Characters of one line or one field."""

SOME = 5
"""From this many lines on, lines in one quoted field that are all whole rows by themselves are no text."""

_ESCAPED = re.compile(r'(\\+)"')


@dataclass(frozen=True)
class Form:
    """How the records of one file are written. width: fields of each. backslash: a quote is escaped as Spark does."""

    delimiter: str
    width: int
    backslash: bool = False

    @cached_property
    def _tokens(self) -> re.Pattern[str]:
        """One field with what ends it."""
        mark = re.escape(self.delimiter)
        return re.compile(rf'("(?:[^"]|"")*+"|[^{mark}\r\n]*+)(?:{mark}|\r?\n|\r|$)')

    @cached_property
    def _closes(self) -> re.Pattern[str]:
        """The beginning of a line that cannot be the inside of a quoted field: its quote would end that field, and what
        is behind it is neither a delimiter nor the end of the line."""
        return re.compile(rf'[^"]*(?:""[^"]*)*"(?!["{re.escape(self.delimiter)}\r\n]|$)')

    def plain(self, line: str) -> str:
        """The line with RFC 4180's doubled quotes: `\\"` is a quote, `\\\\"` a backslash before a quote that counts."""
        return _ESCAPED.sub(_doubled, line) if self.backslash and '\\"' in line else line

    def problem(self, fields: Sequence[str] | None, lines: Sequence[str], *, ended: bool = False) -> str | None:
        """Why a record is no row. fields: None where it breaks the rules of quoting; ended: by the end of the file."""
        if any(len(line) >= MAX_LINE for line in lines):
            return "over length"
        if fields is None:
            if any('\\"' in line for line in lines) and not self.backslash:
                return "backslash before a quote"
            return "unclosed quote" if ended else "stray quote"
        text = "".join(lines)
        loose = self._loose(text) if '"' in text else None
        if len(fields) != self.width and loose != "space before a quote":
            return "fewer fields than columns" if len(fields) < self.width else "more fields than columns"
        return loose

    def _loose(self, text: str) -> str | None:
        for token in self._tokens.finditer(text):
            field = token[1]
            if field.startswith('"') or '"' not in field:
                continue
            if '\\"' in field or self.backslash:
                return "backslash before a quote"
            if field.lstrip().startswith('"'):
                return "space before a quote"
            if field.endswith('"') and field.count('"') % 2:
                return "stray quote"
        return None

    def folded(self, lines: Sequence[str], *, others: bool) -> bool:
        """Whether several lines are one row rather than rows that a stray pair of quotes joins. others: whether the
        file has rows of several lines for certain."""
        return (others and len(lines) < SOME) or not self.holds_rows(lines)

    def holds_rows(self, lines: Sequence[str]) -> bool:
        """Whether each line of a record would be a whole row by itself, if the quote that joins them were a letter."""
        return self.width > 1 and all(self._width_of(line.rstrip("\r\n")) == self.width for line in lines)

    def _width_of(self, text: str) -> int:
        if text.count(self.delimiter) < self.width - 1:
            return 0
        return sum(1 for _ in self._tokens.finditer(f"{text}\n")) - 1  # the last match is the empty end

    def certain(self, fields: Sequence[str] | None, lines: Sequence[str]) -> bool:
        """Whether a record can be nothing but one: its first line cannot lie inside a quoted field."""
        text = "".join(lines)
        strict = all(token[1].startswith('"') or '"' not in token[1] for token in self._tokens.finditer(text))
        return strict and self.problem(fields, lines) is None and self._closes.match(lines[0]) is not None


def _doubled(found: re.Match[str]) -> str:
    backslashes = len(found[1])
    return "\\" * (backslashes // 2) + ('""' if backslashes % 2 else '"')


class Lines:
    """Physical lines of a file with a way back: `take` gives a record with its lines, `again` returns all but the first
    of them."""

    def __init__(self, lines: Iterator[str], form: Form, *, number: int) -> None:
        self._lines, self._form, self._ahead = lines, form, deque[str]()
        self._reader = csv.reader(self, delimiter=form.delimiter, strict=True)
        self._read = number
        self.first = number
        self.lines: list[str] = []
        self.ended = False

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        try:
            line = self._ahead.popleft() if self._ahead else self._form.plain(next(self._lines))
        except StopIteration:
            self.ended = True
            raise
        self._read += 1
        self.lines.append(line)
        return line

    def take(self) -> bool:
        """Whether there is another record: then `fields` (None for one that breaks the rules), `lines`, `first`."""
        self.lines, self.first, self.ended = [], self._read + 1, False
        self.fields: list[str] | None = None
        try:
            self.fields = next(self._reader)
        except StopIteration:
            return False
        except csv.Error:
            pass
        return bool(self.lines)

    def again(self) -> None:
        """The second line of the record is the next one to be read."""
        rest = self.lines[1:]
        self._ahead.extendleft(reversed(rest))
        self._read -= len(rest)
        self.lines = self.lines[:1]

    @property
    def blank(self) -> bool:
        return len(self.lines) == 1 and not self.lines[0].strip()

    @property
    def problem(self) -> str | None:
        return self._form.problem(self.fields, self.lines, ended=self.ended)
