"""Marks: the reader's probability of each key, and whether an answer delivers what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mtl.evaluation.reader import Probabilities
from mtl.server.marks import Marked, looked_at, read
from mtl.serving.generate import Answer, Prompt
from mtl.task import ReadingQuestion
from mtl.tasks.table import get_task

MCQ = get_task("mcq")


class Sure:
    """Finds the option that holds `right` to be the answer, with 0.7."""

    name = "base"

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        assert passage and len(set(questions)) == len(questions), "each question is read once"
        return [tuple(0.7 if "right" in option else 0.1 for option in question.options) for question in questions]


def text(*keys: str, level: str = "Easy") -> str:
    parts = [
        f"{n}. Question: What is {n}? Options: A. the right one B. two C. three D. four Correct: {key} "
        f"Difficulty: {level}"
        for n, key in enumerate(keys, start=1)
    ]
    return " ".join(["MCQs:", *parts])


@pytest.mark.parametrize(
    ("written", "request_", "marks", "usable"),
    [
        (text("A"), {"easy": 1}, (0.7,), True),
        (text("A", "A"), {"easy": 2}, (0.7, 0.7), True),
        (text("A", "B"), {"easy": 2}, (0.7, 0.1), False),  # a wrong key
        (text("A"), {"easy": 2}, (0.7,), False),  # one is missing
        (text("A", level="Hard"), {"easy": 1}, (0.7,), False),  # of another level
        ("no questions at all", {"easy": 1}, None, False),
    ],
)
def test_marks(written: str, request_: dict[str, int], marks: Any, usable: bool) -> None:
    prompts = [Prompt(MCQ.prompt("A passage.", MCQ.complete(request_)), truncated=False)]
    answers = [Answer(MCQ.parse(written), written)]
    assert read(Sure(), "mcq", prompts, answers) == [Marked(answers[0], marks, usable)]


@pytest.mark.parametrize(
    ("task", "answer", "marks", "usable"),
    [
        ("summarize", Answer("left", "Summary: left"), None, True),
        ("summarize", Answer(None, "left"), None, False),
        ("mcq", Answer([{"question": "?"}], text("A")), None, None),  # nobody read it
        ("mcq", Answer(None, "x"), None, False),
        ("mcq", Answer([{"probability": 0.9}], text("A"), missing={}), (0.9,), True),
        ("mcq", Answer([{"probability": 0.9}], text("A"), missing={"hard": 1}), (0.9,), False),
    ],
)
def test_what_an_answer_says_itself(task: str, answer: Answer, marks: Any, usable: bool | None) -> None:
    assert looked_at(task, answer) == Marked(answer, marks, usable)
