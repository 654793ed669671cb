"""Whether two readings of a text agree, with a model and a reader whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from mtl.evaluation.consistency import agreement, effective_options, plan_checks, with_consistency
from mtl.evaluation.reader import Probabilities
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.task import ReadingQuestion
from mtl.tasks.table import TASKS

ARTICLE = "Ann Lee won in Bonn on Monday. It was cold."
EXAMPLES = [
    Example(TASKS["summarize"].prompt(ARTICLE, {}), "Summary: Ann Lee won in Bonn.", "summarize", f"s{number}")
    for number in range(4)
] + [Example(TASKS["mcq"].prompt("A passage.", {"easy": 1}), "", "mcq", "q0")]
WHERE = "Question: Where was it? Options: A. Bonn B. Rome C. Oslo D. Kiel Correct: A Difficulty: Easy"
WHY = "Question: Why was it? Options: A. one B. two C. three D. four Correct: A Difficulty: Medium"


class Finder:
    """Sure of the option that the passage names; without one it has no idea."""

    name = "finder"

    def __init__(self) -> None:
        self.passages: list[str] = []

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        self.passages += [question.passage for question in questions]
        return [self._answer(question) for question in questions]

    def _answer(self, question: ReadingQuestion) -> Probabilities:
        named = [option in question.passage for option in question.options]
        return tuple(float(it) for it in named) if sum(named) == 1 else (0.25,) * 4


class Writer:
    """Asks the same about every text."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.inputs: list[str] = []

    def __call__(self, inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        self.inputs += inputs
        return [self.answer] * len(inputs)


def scores(texts: Sequence[str], answer: str = f"MCQs: 1. {WHERE} 2. {WHY}", per_task: int = 10) -> list[float | None]:
    """`consistent` of what a model wrote for the four articles."""
    checks = plan_checks(TASKS, EXAMPLES, per_task=per_task, seed=1)
    assert checks is not None
    asked = checks.ask(Writer(answer), [*texts, ""], max_new_tokens=9)
    task = with_consistency(TASKS, checks, [asked], Finder())["summarize"]
    return [task.score(example, text)["consistent"] for example, text in zip(EXAMPLES, texts, strict=False)]


def test_a_summary_that_says_the_same_agrees_and_one_that_says_something_else_does_not() -> None:
    assert scores(["Summary: Ann won in Bonn."] * 2 + ["Summary: Ann won in Rome."] * 2) == [1, 1, 0, 0]


def test_questions_that_the_summary_cannot_answer_do_not_count() -> None:
    assert scores(["Summary: Ann won."] * 4) == [None] * 4
    assert scores(["Summary: Ann won in Rome."] * 4, answer=f"MCQs: 1. {WHY}") == [None] * 4


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Ann won in Bonn.", f"MCQs: 1. {WHERE}"),
        ("Summary: Ann won in Bonn.", "no questions"),
        ("Summary: \u200b", f"MCQs: 1. {WHERE}"),
    ],
)
def test_texts_and_questions_of_another_form_have_no_score(text: str, answer: str) -> None:
    assert scores([text] * 4, answer=answer) == [None] * 4


def test_the_sample_is_bounded_and_each_text_is_asked_about_once() -> None:
    checks = plan_checks(TASKS, EXAMPLES, per_task=3, seed=1)
    assert checks is not None
    writer, reader = Writer(f"MCQs: 1. {WHERE}"), Finder()
    asked = checks.ask(writer, ["Summary: Ann won in Bonn."] * 5, max_new_tokens=9)
    with_consistency(TASKS, checks, [asked, asked], reader)
    assert writer.inputs == [TASKS["mcq"].prompt("Ann won in Bonn.", {"medium": 1})]
    assert reader.passages == ["Ann won in Bonn.", ARTICLE]
    assert sorted(map(str, scores(["Summary: Ann won in Bonn."] * 4, per_task=3))) == ["1.0", "1.0", "1.0", "None"]


def test_equal_texts_of_two_models_score_equally() -> None:
    checks = plan_checks(TASKS, EXAMPLES, per_task=10, seed=1)
    assert checks is not None
    texts = ["Summary: Ann Lee won in Rome."] * 5
    asked = [checks.ask(Writer(answer), texts, max_new_tokens=9) for answer in (f"MCQs: 1. {WHERE}", "none")]
    tasks = with_consistency(TASKS, checks, asked, Finder())
    report = evaluate_models({"champion": texts, "candidate": texts}, EXAMPLES, tasks=tasks, seed=1, resamples=20)
    assert report.mean("candidate", "summarize", "consistent") == 0
    compared = report.comparison("champion", "summarize", "consistent")
    assert compared is not None and (compared.n, compared.unpaired, compared.difference) == (4, 0, 0)


def test_nothing_is_checked_without_a_task_that_asks_or_one_that_claims() -> None:
    assert plan_checks(TASKS, EXAMPLES[:4], per_task=9, seed=1) is None
    assert plan_checks(TASKS, EXAMPLES[4:], per_task=9, seed=1) is None
    silent = TASKS | {"mcq": replace(TASKS["mcq"], questions=None)}
    assert plan_checks(silent, EXAMPLES, per_task=9, seed=1) is None


def test_agreement_and_effective_options() -> None:
    assert agreement((0.5, 0.5), (0.5, 0.5)) == 1
    assert agreement((1.0, 0.0), (0.0, 1.0)) == 0
    assert agreement((0.75, 0.25), (0.5, 0.5)) == pytest.approx(0.75)
    assert effective_options((1.0, 0.0, 0.0)) == 1
    assert effective_options((0.25,) * 4) == pytest.approx(4)
