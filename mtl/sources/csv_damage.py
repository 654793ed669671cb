"""Rows of a csv file with a damaged place: what is certain is read, the rest is refused line by line.

Where a quote stands alone nobody can say by that line whether the next one is a row or the inside of a field. So the
whole file is looked at first, and one of two rules holds for all of it:

- a file of one-line rows (no good record is longer, and most of its lines are whole rows): each line is a row or a
  refused one;
- any other file: behind a damaged place all lines are refused until one cannot be the inside of a quoted field, because
  a quoted field of its own would end there in the middle.

A quoted field over several lines may be well written and yet be rows that two stray quotes join: if each of its lines
is a whole row, and no other row of the file has several lines, nobody can say, and all of them are refused.

Each refused line counts as one row, so that nothing that was swallowed goes uncounted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mtl.sources.csv_record import SOME, Form, Lines
from mtl.task import BadRow

Start = Callable[[], Iterator[str]]
"""The physical lines of the file behind its header, from the beginning."""
Found = tuple[int, list[str] | BadRow]
"""(line, fields or why it is refused)"""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a whole file looks like. bad: records that are no rows; long: whether some rows have several lines for
    certain; one_line: whether all have one."""

    form: Form
    bad: int
    long: bool
    one_line: bool


def damaged_rows(start: Start, form: Form, *, number: int) -> Iterator[Found]:
    """All rows of a file, blank lines left out, damaged ones with the reason. number: of the header's last line."""
    survey = _survey(start, form, number)
    if survey.bad and _backslashes(start):
        spark = _survey(start, replace(form, backslash=True), number)
        survey = spark if spark.bad < survey.bad else survey
    lines = Lines(start(), survey.form, number=number)
    return _by_line(lines) if survey.one_line else _by_record(lines, survey)


def _backslashes(start: Start) -> bool:
    return any('\\"' in line for line in start())


def _survey(start: Start, form: Form, number: int) -> Survey:
    lines = Lines(start(), form, number=number)
    bad = total = whole = folded = 0
    while lines.take():
        if lines.blank:
            continue
        if lines.problem is not None:
            bad += 1
            total += 1
            lines.again()
        elif len(lines.lines) == 1:
            total += 1
            whole += 1
        else:
            total += len(lines.lines)
            rows = form.holds_rows(lines.lines)
            folded += not rows
            whole += len(lines.lines) - 2 if rows else 0
    return Survey(form, bad, long=folded > 0, one_line=folded == 0 and whole * 2 > total)


def _by_line(lines: Lines) -> Iterator[Found]:
    """Rows of a file whose rows have one line each."""
    while lines.take():
        if lines.blank:
            continue
        problem = lines.problem
        if problem is None and 1 < len(lines.lines) < SOME:
            yield from _undecided(lines)
        elif problem is None and len(lines.lines) == 1:
            yield lines.first, lines.fields or []
        else:
            yield lines.first, BadRow(problem if len(lines.lines) == 1 and problem else "stray quote", "line")
            lines.again()


def _by_record(lines: Lines, survey: Survey) -> Iterator[Found]:
    """Rows of a file whose rows may have several lines."""
    form, lost = survey.form, False
    while lines.take():
        if lines.blank:
            continue
        problem, several = lines.problem, len(lines.lines) > 1
        if problem is None and several and not form.folded(lines.lines, others=survey.long):
            if len(lines.lines) < SOME and not lost:
                yield from _undecided(lines)
                continue
            problem = _ROWS
        if problem is None and (not lost or form.certain(lines.fields, lines.lines)):
            lost = False
            yield lines.first, lines.fields or []
        else:
            yield lines.first, BadRow("behind a stray quote" if lost or not problem else problem, "line")
            lost = lost or lines.fields is None or several
            lines.again()


def _undecided(lines: Lines) -> Iterator[Found]:
    """The lines of one record that are whole rows by themselves, too few of them to say that they are no text."""
    for line in range(lines.first, lines.first + len(lines.lines)):
        yield line, BadRow(_ROWS, "line")


_ROWS = "rows within a quoted field"
