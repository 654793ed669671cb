"""Which questions of several answers are kept, with answers and a reader that are known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mtl.evaluation.candidates import Chooser, can_choose, choose
from mtl.evaluation.reader import Probabilities
from mtl.task import ReadingQuestion
from mtl.tasks.table import get_task

MCQ = get_task("mcq")


def question(text: str, label: str = "Easy", *, key: int = 0) -> ReadingQuestion:
    return ReadingQuestion("A passage.", text, ("a", "b", "c", "d"), key, label)


def sure(probability: float, pick: int = 0) -> Probabilities:
    return tuple(probability if place == pick else (1 - probability) / 3 for place in range(4))


@pytest.mark.parametrize(
    ("questions", "probabilities", "requested", "kept"),
    [
        ([question("One?"), question("Two?")], [sure(0.5), sure(0.9)], {"Easy": 1}, ["Two?"]),
        ([question("One?"), question("Two?")], [sure(0.5), sure(0.9)], {"Easy": 2}, ["Two?", "One?"]),
        ([question("One?"), question("Two?")], [sure(0.7), sure(0.7)], {"Easy": 1}, ["One?"]),
        ([question("One?"), question("Two?")], [sure(0.9, pick=1), sure(0.4)], {"Easy": 2}, ["Two?"]),
        ([question("One?"), question(" one?")], [sure(0.6), sure(0.9)], {"Easy": 2}, [" one?"]),
        ([question("One?"), question("One?", key=1)], [sure(0.9, pick=1), sure(0.8, pick=1)], {"Easy": 2}, ["One?"]),
        ([question("1?", "Hard"), question("2?")], [sure(0.9), sure(0.5)], {"Easy": 1, "Hard": 1}, ["2?", "1?"]),
        ([question("One?", "Hard")], [sure(0.9)], {"Easy": 1}, []),
        ([], [], {"Easy": 1}, []),
    ],
    ids=["likeliest", "by likelihood", "first of equals", "key not picked", "repeated", "repeated, but the first has a "
         "wrong key", "in the order of the request", "not requested", "none"],
)  # fmt: skip
def test_the_best_questions_that_obey_the_request_are_kept(
    questions: list[ReadingQuestion],
    probabilities: list[Probabilities],
    requested: dict[str, int],
    kept: list[str],
) -> None:
    read = dict(zip(questions, probabilities, strict=True))
    assert [checked.question.question for checked in choose([[], questions], read, requested)] == kept


def test_questions_of_the_greedy_answer_go_before_likelier_ones_that_were_sampled() -> None:
    greedy, sampled, wrong = question("One?"), question("Two?"), question("Three?", key=1)
    read = {greedy: sure(0.5), sampled: sure(0.9), wrong: sure(0.9)}
    for answers, kept in (([[greedy], [sampled]], [greedy]), ([[wrong], [greedy, sampled]], [sampled])):
        assert [checked.question for checked in choose(answers, read, {"Easy": 1})] == kept


def written(*questions: ReadingQuestion) -> str:
    assert MCQ.compose is not None
    return MCQ.compose(questions)


class Finder:
    """A reader that holds option A to be right, and surer of questions with longer texts."""

    name = "finder"

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[Probabilities]:
        assert passage and len(set(questions)) == len(questions), "each question is read once"
        return [sure(0.3 + len(question.question) / 100) for question in questions]


def _chooser(*texts: str) -> Chooser:
    def draw(inputs: Sequence[str], count: int, *, max_new_tokens: int) -> list[list[str]]:
        assert (count, max_new_tokens) == (len(texts), 9)
        return [list(texts) for _ in inputs]

    return Chooser(draw, Finder())


def test_questions_of_several_answers_become_one() -> None:
    inputs = MCQ.prompt("A passage.", {"easy": 2, "medium": 1, "hard": 1})
    texts = (
        written(question("Who?"), question("Wrong?", key=2)),
        "no questions at all",
        written(question("Who was it?"), question("Who?"), question("Why did it happen?", "Hard"), question("What?")),
    )
    (answer,) = _chooser(*texts)(MCQ, [inputs], candidates=3, max_new_tokens=9)
    output = answer.output(MCQ)
    assert [(item["question"], item["difficulty"]) for item in output] == [
        ("Who?", "Easy"),
        ("Who was it?", "Easy"),
        ("Why did it happen?", "Hard"),
    ]
    assert all(item["checked"] is True for item in output)
    assert [item["probability"] for item in output] == [0.34, 0.41, 0.48]
    assert answer.missing == {"medium": 1}, "and no unchecked question takes its place"
    added = ("checked", "probability")
    plain = [{key: value for key, value in item.items() if key not in added} for item in output]
    assert MCQ.parse(answer.text) == plain


def test_if_nothing_is_confirmed_everything_is_missing() -> None:
    inputs = MCQ.prompt("A passage.", {"easy": 2, "hard": 1})
    (answer,) = _chooser(written(question("Who?", key=1)))(MCQ, [inputs], candidates=1, max_new_tokens=9)
    assert (answer.output(MCQ), answer.missing) == ([], {"easy": 2, "hard": 1})


def test_only_answers_of_questions_can_be_composed() -> None:
    assert can_choose(MCQ)
    assert not can_choose(get_task("summarize"))
