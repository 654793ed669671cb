"""Rows of multiple-choice questions as sources hold them: RACE's, or like it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtl.task import BadRow, Row, shown, wrong_type
from mtl.tasks import mcq_answers
from mtl.tasks.difficulty import DIFFICULTIES, LEVELS
from mtl.tasks.lists import read_list
from mtl.tasks.mcq_form import LETTERS, escape, without_letters
from mtl.tasks.text import check_text, clean, is_missing, read_passage, read_text

_LEVEL = re.compile(rf"(?:^|/)({'|'.join(LEVELS)})(?=\d|/|$)")


@dataclass(frozen=True, slots=True)
class Question:
    """One row: a question about a passage, with the level of the examination it was set in, or its difficulty."""

    passage: str
    level: str
    question: str
    options: tuple[str, str, str, str]
    correct: str

    @property
    def right(self) -> str:
        return self.options[LETTERS.index(self.correct)]


def read(row: Row) -> Question:
    """A question from {article, question, options, answer} and a level: `level`, example_id or Hub configuration.

    The column `level` may also hold a difficulty, which is then not a matter of the scheme.
    """
    passage = read_passage(row, "article")
    asked = escape(clean(read_text(row, "question")))
    if not asked:
        raise BadRow("no question", "question")
    level, options = _level(row), _options(row.get("options"))
    return Question(passage, level, asked, options, _answer(row, options))


def rows(text: str, output: Any) -> list[Row]:
    """A row for each question in `output`: as `parse` gives it, or as a person wrote it, with `answer` for its key."""
    found = output if isinstance(output, Sequence) else []
    return [
        {
            "article": text,
            "question": item.get("question"),
            "options": item.get("options"),
            "answer": item.get("correct", item.get("answer")),
            "level": item.get("difficulty"),
        }
        for item in found
        if isinstance(item, Mapping)
    ]


def _options(value: Any) -> tuple[str, str, str, str]:
    if is_missing(value):
        raise BadRow("missing value", "options", detail="" if value is None else f"got {shown(value)}")
    if isinstance(value, str):
        value = read_list(check_text(value, "options"), "options")
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise wrong_type(value, "options", "a list of four texts")
    if len(value) != 4:
        reason = "fewer than four options" if len(value) < 4 else "more than four options"
        raise BadRow(reason, "options", detail=f"got {len(value)}, expected four")
    options = tuple(map(escape, without_letters([_option(option) for option in value])))
    if not all(options):
        raise BadRow("empty option", "options", detail=f"got {shown(str(list(value)))}")
    if len({option.casefold() for option in options}) < 4:
        raise BadRow("repeated option", "options", detail=f"got {shown(str(list(value)))}")
    return options[0], options[1], options[2], options[3]


def _option(value: Any) -> str:
    """The cleaned option. "None" and "NaN" are answers like any other; a null is none."""
    if not isinstance(value, str) and is_missing(value):
        raise BadRow("missing value", "options", detail=f"got {shown(value)} in the list")
    return clean(check_text(value, "options"))


def _answer(row: Row, options: Sequence[str]) -> str:
    form = row.get(mcq_answers.COLUMN)
    if form is not None:
        return mcq_answers.read_answer(row.get("answer"), options, str(form))
    answer = read_text(row, "answer").strip()
    if len(answer) != 1 or answer not in LETTERS:
        raise BadRow("answer outside A-D", "answer", detail=f"got {shown(answer)}, expected A, B, C or D")
    return answer


def _level(row: Row) -> str:
    given = row.get("level")
    if not is_missing(given) and given != "":
        if given not in (known := (*LEVELS, *DIFFICULTIES)):
            raise BadRow("unknown level", "level", detail=f"got {shown(given)}, expected {', '.join(known)}")
        return str(given)
    for name in ("example_id", "hub_config"):
        found = _LEVEL.search(str(row.get(name) or ""))
        if found:
            return found[1]
    raise BadRow("no level", "level")
