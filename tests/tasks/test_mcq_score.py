"""What the scores of questions tell apart."""

from __future__ import annotations

import pytest

from mtl.example import Example
from mtl.tasks.mcq_form import render_target
from mtl.tasks.mcq_score import score

PASSAGE = "The lake of Lund froze in winter. Boats stayed in the harbour of Oslo."
ASKED = {"easy": 1, "medium": 1, "hard": 0}


def question(text: str, difficulty: str, correct: str = "A") -> dict[str, object]:
    return {
        "question": text,
        "options": ["Lund", "Oslo", "Bergen", "Turku"],
        "correct": correct,
        "difficulty": difficulty,
    }


REFERENCE = [question("Which lake froze in winter?", "Easy"), question("Where did the boats stay?", "Medium", "B")]
EXAMPLE = Example("", render_target(REFERENCE), "mcq", "u1")


def scored(*questions: dict[str, object]) -> dict[str, float | None]:
    return dict(score(EXAMPLE, render_target(questions), passage=PASSAGE, request=ASKED))


def test_a_question_is_held_against_the_reference_that_is_most_alike() -> None:
    swapped = scored(*reversed(REFERENCE))
    assert [swapped["question_rougeL"], swapped["question_bleu"]] == pytest.approx([1, 1])
    near = scored(question("Which lake froze over?", "Easy"))
    far = scored(question("Who wrote this?", "Easy"))
    for name in ("question_rougeL", "question_bleu"):
        assert (far[name] or 0) < (near[name] or 0) < 1


def test_key_letters_are_shares_that_add_up_to_one() -> None:
    found = scored(*REFERENCE, question("Which town?", "Hard", "B"), question("Which one?", "Hard", "D"))
    assert [found[f"key_{letter}"] for letter in "ABCD"] == [0.25, 0.5, 0.0, 0.25]


@pytest.mark.parametrize(
    ("levels", "error"), [(("Easy", "Medium"), 0), (("Easy",), 1), (("Hard", "Hard"), 4), (("Easy",) * 3, 3)]
)
def test_too_few_and_too_many_questions_are_counted_by_difficulty(levels: tuple[str, ...], error: int) -> None:
    assert scored(*(question(f"Which lake {n}?", level) for n, level in enumerate(levels)))["count_error"] == error


def test_an_answer_of_another_form_misses_every_question() -> None:
    found = score(EXAMPLE, "Summary: a lake", passage=PASSAGE, request=ASKED)
    assert found["count_error"] == 2
    assert found["question_bleu"] is None and found["key_A"] is None
