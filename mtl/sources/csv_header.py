"""The first lines of a csv file: what they say about its form, and what to set where that is another."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from mtl.errors import DataError
from mtl.sources.base import FileOptions

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SEPARATOR = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)


def is_separator_line(line: str, name: str, options: FileOptions) -> bool:
    """Whether the first line is Excel's `sep=;`, which says what divides the columns. DataError if it is not what the
    source says."""
    found = _SEPARATOR.fullmatch(line)
    if found and found[1] != (options.delimiter or ","):
        raise DataError(
            f"{name}:1: the first line, {line.strip()!r}, says that the columns are divided by {_named(found[1])}",
            field="data.sources.delimiter",
            hint=_say(found[1]),
        )
    return found is not None


def check_names(fields: Sequence[str], name: str, delimiter: str, *, needed: Collection[str] | None) -> list[str]:
    """The column names without spaces around them; DataError for names that cannot be those of the columns.

    needed: the columns that are read, None for all.
    """
    names = [field.strip("\ufeff \t") for field in fields]
    for field in names:
        if not _is_text(field):
            raise DataError(
                f"{name}:1: the column name {field!a} is not UTF-8",
                field="data.sources.encoding",
                hint="probably cp1252 (Windows) or latin-1: say `encoding: cp1252` beside the source's uri",
            )
    if len(names) == 1:
        refuse_other_delimiter(names[0], name, delimiter)
    for position, field in enumerate(names):
        first = names.index(field)
        if first != position and field and (needed is None or field in needed):
            raise DataError(
                f"{name}:1: two columns are called {field!r}, numbers {first + 1} and {position + 1}",
                hint="which one is meant? Rename the other",
            )
    return names


def refuse_other_delimiter(header: str, name: str, delimiter: str) -> None:
    """DataError for a header that does not come apart by the delimiter and would by another one."""
    other = next((mark for mark in _NAMES if mark != delimiter and mark in header), None)
    if other and delimiter not in header:
        raise DataError(
            f"{name}:1: the columns seem to be divided by {_named(other)}, not {_named(delimiter)}: "
            f"{_short(header.strip())}",
            field="data.sources.delimiter",
            hint=_say(other),
        )


def _is_text(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _named(delimiter: str) -> str:
    return _NAMES.get(delimiter, repr(delimiter))


def _say(delimiter: str) -> str:
    shown = '"\\t"' if delimiter == "\t" else f'"{delimiter}"'
    return f"say `delimiter: {shown}` beside the source's uri"


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
