"""A csv file is read strictly: a stray quote costs the lines that it makes uncertain, and each of them is counted."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.errors import DataError
from mtl.sources import csv_reader, csv_record
from mtl.sources.base import FileOptions
from mtl.sources.csv_reader import read_csv
from mtl.sources.formats import read_rows
from mtl.task import BadRow

HEADER = "article,highlights"
ROWS = [(f"Town {n} opened a school.", f"School {n} opened") for n in range(12)]
PLAIN = [",".join(row) for row in ROWS]


def changed(**lines: str) -> str:
    """The plain file with other lines: `r3` is the fourth row, on line 5."""
    body = list(PLAIN)
    for name, line in lines.items():
        body[int(name[1:])] = line
    return "\n".join([HEADER, *body, ""])


def written(rows: Iterable[Iterable[str]], **form: Any) -> str:
    file = io.StringIO()
    csv.writer(file, **form).writerows([HEADER.split(","), *rows])
    return file.getvalue()


def read(text: str | bytes, **options: Any) -> list[tuple[int, Any]]:
    """(line, values of the row or why it is none)"""
    file = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    found = read_csv(file, "a.csv", lambda row: True, FileOptions(**options))
    return [(row.line, row.value if isinstance(row.value, BadRow) else tuple(row.value.values())) for row in found]


def rows(found: Iterable[tuple[int, Any]]) -> list[Any]:
    return [value for _, value in found if not isinstance(value, BadRow)]


def bad(found: Iterable[tuple[int, Any]]) -> list[tuple[int, str]]:
    return [(line, value.reason) for line, value in found if isinstance(value, BadRow)]


TOWN, SAID = ROWS[3]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (changed(r3=f'{TOWN},"{SAID}'), [(5, "stray quote")]),
        (changed(r11=f'{TOWN},"{SAID}'), [(13, "unclosed quote")]),
        (changed(r3=f'"{TOWN},{SAID}'), [(5, "stray quote")]),
        (changed(r3=f'{TOWN},{SAID}"'), [(5, "stray quote")]),
        (changed(r3=f'{TOWN},"He said "hi" to all, twice"'), [(5, "stray quote")]),
        (changed(r3=f'{TOWN},"{SAID}', r7=f'{TOWN},"{SAID}'), [(5, "stray quote"), (9, "stray quote")]),
        (changed(r3=f'{TOWN},"{SAID}', r7=f'{TOWN},{SAID}"'), [(5, "stray quote"), (9, "stray quote")]),
        (changed(r3=f'{TOWN},"{SAID}', r5=f'"{TOWN}, it is","{SAID}"'), [(5, "stray quote")]),
        (
            changed(r3=f'{TOWN},"{SAID}', r4=f'{TOWN},{SAID}"'),  # one row of two lines, or two rows: nobody knows
            [(5, "rows within a quoted field"), (6, "rows within a quoted field")],
        ),
        (changed(r3=TOWN), [(5, "fewer fields than columns")]),
        (changed(r3=f"{TOWN},{SAID},x"), [(5, "more fields than columns")]),
        (changed(r3=f'{TOWN}, "{SAID}, all"'), [(5, "space before a quote")]),
        (changed(r3=f'{TOWN},{SAID} \\"now\\"'), [(5, "backslash before a quote")]),
        (changed(r3=HEADER), [(5, "repeated header")]),
        (changed(r3=f"\ufeff{HEADER}"), [(5, "repeated header")]),
    ],
)
def test_one_damaged_place_costs_its_own_lines(text: str, refused: list[tuple[int, str]]) -> None:
    found = read(text)
    gone = {line for line, _ in refused}
    whole = [line for number, line in enumerate(text.splitlines(), start=1) if line in PLAIN and number not in gone]
    assert bad(found) == refused
    assert [",".join(row) for row in rows(found) if row in ROWS] == whole
    assert len(found) == len(ROWS)


def test_the_same_within_gzip_and_from_a_stream_that_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(changed(r3=f'{TOWN},"{SAID}').encode()))
    found = list(read_rows(path, path.name))
    assert [row.origin for row in found if isinstance(row.value, BadRow)] == ["a.csv.gz:5"]
    assert len(found) == len(ROWS)


STORY = [(f'{a}\n\nMore, of it.\n"Quoted" text, it is.', f"{h}\nSecond, line") for a, h in ROWS]


@pytest.mark.parametrize("form", [{}, {"lineterminator": "\n"}, {"quoting": csv.QUOTE_ALL}, {"delimiter": ";"}])
def test_fields_of_several_lines_are_read_as_they_were_written(form: dict[str, Any]) -> None:
    found = read(written(STORY, **form), delimiter=form.get("delimiter"))
    assert rows(found) == STORY
    assert [line for line, _ in found] == [2 + 5 * number for number in range(12)]


@pytest.mark.parametrize(
    ("spoil", "refused"),
    [
        (lambda text: text[:-30], 3),  # cut off: the rest of the last row are three lines
        (lambda text: text.replace('""Quoted"" text', '"Quoted" text', 1), 4),
    ],
)
def test_behind_damage_among_long_rows_reading_goes_on_where_no_field_can_be(
    spoil: Callable[[str], str], refused: int
) -> None:
    found = read(spoil(written(STORY, lineterminator="\n")))
    assert len(rows(found)) == 11 and set(rows(found)) < set(STORY)
    assert len(bad(found)) == refused


def test_a_field_of_several_lines_among_rows_of_one_line() -> None:
    text = changed(r3=f'{TOWN},"First line\nsecond one\nthird, it is"')
    assert (TOWN, "First line\nsecond one\nthird, it is") in rows(read(text))
    assert not bad(read(text))


def test_one_row_of_several_lines_alone() -> None:
    (row,) = rows(read(f'{HEADER}\nTown,"First, as ever\nsecond\n"\n'))
    assert row == ("Town", "First, as ever\nsecond\n")
    assert rows(read('text\n"one\ntwo"\nthree\n')) == [("one\ntwo",), ("three",)]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('"Town, it said \\"well, done\\"",x', 'Town, it said "well, done"'),
        ('"Town, of 6\\"",x', 'Town, of 6"'),
        ('"Town, C:\\\\",x', "Town, C:\\"),
        ('"Town, C:\\dir",x', "Town, C:\\dir"),
        ('"Town, \\"\\"",x', 'Town, ""'),
    ],
)
def test_the_escape_of_spark_is_known_by_the_whole_file(line: str, value: str) -> None:
    text = "\n".join([HEADER, '"So, \\"he\\" said",y', line, "a,b", ""])
    assert rows(read(text)) == [('So, "he" said', "y"), (value, "x"), ("a", "b")]


def test_a_backslash_at_the_end_of_a_field_is_one_where_quotes_are_doubled() -> None:
    text = written([("A, B\\", 'He said "no"'), ("C:\\, D", "x")])
    assert rows(read(text)) == [("A, B\\", 'He said "no"'), ("C:\\, D", "x")]


def test_a_quote_inside_an_unquoted_field_is_a_letter() -> None:
    assert rows(read(f'{HEADER}\nHe is 6" tall now,Tall\nHe said "hi",Said\n')) == [
        ('He is 6" tall now', "Tall"),
        ('He said "hi"', "Said"),
    ]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_ends_blank_lines_and_a_byte_order_mark(ending: str) -> None:
    text = "\ufeff" + ending.join([HEADER, "", PLAIN[0], "   ", PLAIN[1]])
    assert read(text) == [(3, ROWS[0]), (5, ROWS[1])]


def test_empty_files_have_no_rows() -> None:
    assert read("") == read("\n\n") == read(f"{HEADER}\n") == []


def test_a_line_too_long_to_hold_is_one_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (csv_reader, csv_record):
        monkeypatch.setattr(module, "MAX_LINE", 100)
    found = read(changed(r3=f"{'x' * 1000},y"))
    assert bad(found) == [(5, "over length")]
    assert len(rows(found)) == 11


def test_the_rows_of_a_part_are_those_of_the_whole() -> None:
    text = changed(r3=f'{TOWN},"{SAID}', r7="x").encode()
    parts = [
        [(row.line, str(row.value)) for row in read_csv(io.BytesIO(text), "a.csv", wanted, FileOptions())]
        for wanted in (lambda row: row % 2 == 0, lambda row: row % 2 == 1, lambda row: True)
    ]
    assert sorted(parts[0] + parts[1]) == sorted(parts[2])


_LINE = st.tuples(st.text("ab '", min_size=1, max_size=8), st.text("ab ;", min_size=1, max_size=8))
_PLACES = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(['"', 'x"', '"x'])), max_size=4)


@given(st.lists(_LINE, min_size=3, max_size=30), _PLACES)
def test_no_quote_put_anywhere_makes_a_line_vanish(
    lines: list[tuple[str, str]], places: list[tuple[float, str]]
) -> None:
    """Each line of a file of unquoted rows is a row or refused, and no row is made of two."""
    text = written([(f"{a}.", f"{b}.") for a, b in lines], lineterminator="\n")[len(HEADER) + 1 :]
    for where, what in places:
        at = int(where * (len(text) - 1))  # within a line: a line of a quote alone is the end of a field
        text = text[:at] + what + text[at:]
    found = read(f"{HEADER}\n{text}")
    assert len(found) == sum(1 for line in text.split("\n") if line.strip())
    assert not any("\n" in field for row in rows(found) for field in row)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20), st.sampled_from(",;\t|"), st.booleans())
def test_what_a_csv_writer_writes_is_read_back(lines: list[tuple[str, str]], delimiter: str, everything: bool) -> None:
    quoting = csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL
    lines = [(f"{a} \r\nand\r\nmore", f"{b}.") for a, b in lines]
    text = written(lines, delimiter=delimiter, quoting=quoting).encode("utf-8", "surrogatepass")
    assert rows(read(text, delimiter=delimiter)) == [(a, b) for a, b in lines] or b"\xed" in text


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "article;highlights\na;b\n",
            "a.csv:1: the columns seem to be divided by semicolons, not commas: 'article;highlights'",
            'say `delimiter: ";"` beside the source\'s uri',
        ),
        (
            '"article";"highlights"\n"a";"b"\n',
            'a.csv:1: the columns seem to be divided by semicolons, not commas: \'"article";"highlights"\'',
            '`delimiter: ";"`',
        ),
        ("article\thighlights\na\tb\n", "a.csv:1: the columns seem to be divided by tabs", r'`delimiter: "\t"`'),
        ("article|highlights\na|b\n", "a.csv:1: the columns seem to be divided by vertical bars", '`delimiter: "|"`'),
        (
            "sep=;\narticle;highlights\na;b\n",
            "a.csv:1: the first line, 'sep=;', says that the columns are divided by semicolons",
            '`delimiter: ";"`',
        ),
        ("article,article\na,b\n", "a.csv:1: two columns are called 'article', numbers 1 and 2", "Rename the other"),
        (
            "article,highlights\na,b\nhighlights,article\nc,d\n",
            "a.csv:3: the header comes again with its columns in another order: highlights, article",
            "keep them as two files",
        ),
        (b"\xe9article,highlights\na,b\n", "a.csv:1: the column name '\\udce9article' is not UTF-8", "cp1252"),
        ('"article,highlights\na,b\n', "a.csv:2: no header line: unexpected end of data", "names the columns"),
    ],
)
def test_a_header_that_cannot_be_says_what_to_set(text: str | bytes, message: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        read(text)
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")


def test_what_the_source_says_is_heeded() -> None:
    assert rows(read("sep=;\narticle;highlights\na;b\n", delimiter=";")) == [("a", "b")]
    assert rows(read("article\thighlights\na\tb, c\n", delimiter="\t")) == [("a", "b, c")]


def test_columns_that_nobody_reads_may_have_any_name() -> None:
    needed = frozenset({"article", "highlights"})
    found = read_csv(
        io.BytesIO(b" article, highlights,,\na,b,,\n"), "a.csv", lambda row: True, FileOptions(columns=needed)
    )
    assert [row.value for row in found] == [{"article": "a", "highlights": "b", "": ""}]
    with pytest.raises(DataError, match="two columns are called 'article'"):
        read("article,article,highlights\na,b,c\n", columns=needed)
