"""Which questions of an answer count, and why the others do not."""

from __future__ import annotations

import pytest

from mtl.evaluation.usable import Fault, faults, usable
from mtl.example import Example
from mtl.task import ReadingQuestion
from mtl.tasks.table import get_task


def _question(text: str, label: str = "Easy", options: tuple[str, ...] = ("a", "b", "c", "d")) -> ReadingQuestion:
    return ReadingQuestion("A passage.", text, options, 0, label)


@pytest.mark.parametrize(
    ("questions", "picks", "expected", "count"),
    [
        ([_question("One?"), _question("Two?")], [0, 0], [None, None], 2),
        ([_question("One?"), _question("Two?")], [0, 3], [None, Fault.KEY], 1),
        ([_question("One?"), _question(" one?")], [0, 0], [None, Fault.REPEATED], 1),
        ([_question("One?", "Hard"), _question("Two?")], [0, 0], [Fault.GROUP, None], 1),
        ([_question("One?", options=("a", "A", "c", "d"))], [0], [Fault.OPTIONS], 0),
        ([_question("One?"), _question("Two?"), _question("Three?")], [0, 0, 0], [None] * 3, 2),
        ([_question("One?"), _question("Two?"), _question("Three?")], [1, 0, 0], [Fault.KEY, None, None], 2),
        ([], [], [], 0),
    ],
)
def test_a_question_counts_once_if_nothing_is_wrong_with_it(
    questions: list[ReadingQuestion], picks: list[int], expected: list[Fault | None], count: int
) -> None:
    requested = {"Easy": 2}
    found = faults(questions, picks, requested)
    assert found == expected
    assert usable(questions, found, requested) == count


def test_an_mcq_example_says_how_many_of_each_difficulty_it_asks_for() -> None:
    task = get_task("mcq")
    inputs = task.prompt("A passage.", {"easy": 2, "hard": 1})
    assert task.requested(Example(inputs, "", "mcq", "u")) == {"Easy": 2, "Hard": 1}
    assert task.requested(Example(task.bare(inputs), "", "mcq", "u")) == {"Easy": 2, "Hard": 1}
