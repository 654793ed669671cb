"""Which option an answer names, where a source says that its answers are more than RACE's letters."""

from __future__ import annotations

from typing import Any

import pytest

from mtl.errors import DataError
from mtl.task import BadRow
from mtl.tasks import mcq_rows
from mtl.tasks.mcq_answers import form_of
from tests.support.rows import question

ANY = "A-D or text"
DIGITS = ["4", "3", "2", "1"]


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([0, 1, 2, 3], "0-3"),
        ([2, "0"], "0-3"),
        (["1", "4.0", None, "", float("nan")], "1-4"),
        ([3.0, 0.0, -1], "0-3"),
        (["A", "b", 1], ANY),
        (["a dog", "1"], ANY),
        ([1990, 1, 0], ANY),
        ([], ANY),
        ([-1, None], ANY),
        ([True, False], ANY),
    ],
)
def test_all_answers_together_say_what_they_are(values: list[Any], form: str) -> None:
    assert form_of(values) == form


@pytest.mark.parametrize(("values", "shown"), [([1, 2, 3], "1, 2, 3"), (["2"], "2"), ([0, 4, 1], "0, 1, 4")])
def test_numbers_that_may_count_from_0_or_from_1_have_to_be_declared(values: list[Any], shown: str) -> None:
    with pytest.raises(DataError) as caught:
        form_of(values)
    assert caught.value.message == (
        f"the answers are numbers ({shown}), and do not say whether they count from 0 or from 1"
    )
    assert "`add: {answers_are: 0-3}` or `1-4`, or `text`" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("answer", "form", "fields", "correct"),
    [
        (0, "0-3", {}, "A"),
        ("3", "0-3", {}, "D"),
        (1.0, "1-4", {}, "A"),
        ("4.0", "1-4", {}, "D"),
        ("b", ANY, {}, "B"),
        ("(C)", "A-D", {}, "C"),
        ("d.", "A-D", {}, "D"),
        ("a hen", ANY, {}, "D"),
        (" A  Hen ", "text", {}, "D"),
        ("3", "text", {"options": DIGITS}, "B"),
        (3, "text", {"options": DIGITS}, "B"),
        ("2", "1-4", {"options": ["1", "2", "3", "4"]}, "B"),
        ("A", "A-D", {"options": ["B", "A", "C", "D"]}, "A"),
        ("A", "text", {"options": ["B", "A", "C", "D"]}, "B"),
    ],
)
def test_an_answer_names_one_option(answer: Any, form: str, fields: dict[str, Any], correct: str) -> None:
    assert mcq_rows.read(question(answer=answer, answers_are=form, **fields)).correct == correct


@pytest.mark.parametrize(
    ("answer", "form", "fields", "reason"),
    [
        (4, "0-3", {}, "answer outside 0-3"),
        (0, "1-4", {}, "answer outside 1-4"),
        (-1, "0-3", {}, "answer outside 0-3"),
        (1.5, "0-3", {}, "answer outside 0-3"),
        (True, "0-3", {}, "answer outside 0-3"),
        ("B", "1-4", {}, "answer outside 1-4"),
        ("1", "A-D", {}, "answer outside A-D"),
        ("1", ANY, {}, "answer is no option"),
        ("a horse", "text", {}, "answer is no option"),
        (["A"], ANY, {}, "answer is no option"),
        (None, "0-3", {}, "missing value"),
        ("1", "1-4", {"options": DIGITS}, "answer names two options"),
        ("1", "0-3", {"options": DIGITS}, "answer names two options"),
        ("A", ANY, {"options": ["B", "A", "C", "D"]}, "answer names two options"),
        ("A", "0-4", {}, "unknown form of answers"),
    ],
)
def test_any_other_answer_is_a_bad_row(answer: Any, form: str, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        mcq_rows.read(question(answer=answer, answers_are=form, **fields))
    assert caught.value.reason == reason


def test_without_a_word_of_the_source_only_letters_are_answers() -> None:
    for answer in ("a", "1", "a dog"):
        with pytest.raises(BadRow, match="answer outside A-D"):
            mcq_rows.read(question(answer=answer))
