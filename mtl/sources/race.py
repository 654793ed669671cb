"""RACE as its authors give it away: one JSON document a passage, with all of its questions (Lai et al. 2017).

    RACE/{train,dev,test}/{middle,high}/N.txt      RACE-C/{train,dev,test}/N.txt (Liang et al. 2019)
    {"article": …, "questions": […], "options": [[…], …], "answers": ["A", …], "id": "high1.txt"}

The same form, a document a line, is what RACE-C has on the Hub. Rows are those of `ehovy/race`: one a question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mtl.sources.base import RawRow
from mtl.task import BadRow

_LISTS = ("questions", "options", "answers")
_LEVEL = re.compile(r"(?:^|[^a-z])(middle|high|college|race[-_ ]?c)(?=$|[^a-z])")


def level_in(name: str) -> str | None:
    """The level that a path or a name speaks of: 'RACE/dev/high' -> 'high', 'tasksource/race-c' -> 'college'."""
    found = _LEVEL.findall(name.lower())
    if not found:
        return None
    return "college" if found[-1].startswith("race") else str(found[-1])


def spread(row: RawRow, *, level: str | None, numbered: bool = False) -> Iterator[RawRow]:
    """A row a question of a passage's document; any other row as it is. Rows without a level of their own get `level`.

    numbered: the file is one document, so the place of a row in it is the question's number.
    """
    for number, value in enumerate(_questions(row.value, level)):
        yield RawRow(value, row.file, row.line + number if numbered else row.line, row.number)


def _questions(value: Mapping[str, Any] | BadRow, level: str | None) -> Iterator[Mapping[str, Any] | BadRow]:
    if isinstance(value, BadRow):
        yield value
    elif value.get("questions") is not None and "question" not in value:
        yield from _split(_levelled(value, level))
    else:
        yield _levelled(value, level)


def _levelled(value: Mapping[str, Any], level: str | None) -> Mapping[str, Any]:
    return value if level is None or "level" in value else {**value, "level": level}


def _split(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | BadRow]:
    lists = [document.get(name) for name in _LISTS]
    for name, its in zip(_LISTS, lists, strict=True):
        if not isinstance(its, list):
            yield BadRow("missing value" if its is None else "wrong type", name)
            return
    asked, options, answers = lists
    if not asked:
        yield BadRow("no question", "questions")
    elif not len(asked) == len(options or ()) == len(answers or ()):
        yield BadRow("not as many options and answers as questions", "questions")
    else:
        shared = {name: its for name, its in document.items() if name not in _LISTS}
        shared.setdefault("example_id", document.get("id"))
        for question, choice, answer in zip(asked, options or (), answers or (), strict=True):
            yield {**shared, "question": question, "options": choice, "answer": answer}
