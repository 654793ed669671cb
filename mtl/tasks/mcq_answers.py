"""Which option an answer names: RACE's letter, and where a source's `columns` map the answer also a small letter, a
number, or the whole text of the option.

Numbers count from 0 or from 1, and no row says which. So all answers of a source are looked at: a 0 among them means
0-3, a 4 means 1-4, and if neither or both are there the configuration has to say it: `add: {answers_are: 1-4}`. Where
some answers are no numbers, or larger ones, none is the number of an option.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from mtl.errors import DataError
from mtl.task import BadRow
from mtl.tasks.mcq_form import LETTERS, escape
from mtl.tasks.text import clean

COLUMN = "answers_are"
FORMS = {"A-D": None, "0-3": 0, "1-4": 1, "text": None}
"""What `answers_are` may say -> the number of the first option, where that is one."""
_ANY = "A-D or text"
_NUMBER = re.compile(r"([+-]?\d+)(?:\.0*)?")


def form_of(values: Iterable[Any]) -> str:
    """How the answers of a whole source are written. DataError where that is a question of where numbers begin."""
    seen: set[int] = set()
    for value in values:
        if value is None or value == "" or value != value:
            continue
        number = _number(value)
        if number is None:
            return _ANY
        seen.add(number)
    places = {number for number in seen if number >= 0}  # -1 stands for an answer that is kept secret
    if not places or max(places) > len(LETTERS):
        return _ANY
    if (0 in places) == (len(LETTERS) in places):
        shown = ", ".join(map(str, sorted(places)[:8]))
        raise DataError(
            f"the answers are numbers ({shown}), and do not say whether they count from 0 or from 1",
            field="data.sources.add",
            hint="say `add: {answers_are: 0-3}` or `1-4`, or `text` if they are the texts of the options",
        )
    return "0-3" if 0 in places else "1-4"


def read_answer(value: Any, options: Sequence[str], form: str) -> str:
    """The letter of the option that an answer names; BadRow for none, and for an answer that may mean two."""
    if form not in (*FORMS, _ANY):
        raise BadRow("unknown form of answers", COLUMN)
    if value is None:
        raise BadRow("missing value", "answer")
    placed = None if form == "text" else _placed(value, FORMS.get(form))
    named = _named(options, value)
    if form in ("0-3", "1-4", _ANY) and None not in (placed, named) and placed != named:
        raise BadRow("answer names two options", "answer")
    found = named if form == "text" or (form == _ANY and placed is None) else placed
    if found is None:
        raise BadRow("answer is no option" if form in ("text", _ANY) else f"answer outside {form}", "answer")
    return LETTERS[found]


def _placed(value: Any, base: int | None) -> int | None:
    """The place of an option that a letter or a number names."""
    if base is not None:
        number = _number(value)
        return number - base if number is not None and 0 <= number - base < len(LETTERS) else None
    letter = value.strip().upper().strip("().") if isinstance(value, str) else ""
    return LETTERS.index(letter) if len(letter) == 1 and letter in LETTERS else None


def _named(options: Sequence[str], value: Any) -> int | None:
    """The place of the one option with this text."""
    text = escape(clean(str(value))).casefold() if isinstance(value, (str, int, float)) else None
    return next((place for place, option in enumerate(options) if option.casefold() == text), None)


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return int(value) if float(value).is_integer() else None
    found = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(found[1]) if found else None
