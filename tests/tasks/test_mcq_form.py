from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.tasks.mcq_form import LETTERS, attempts, escape, parse, render_target, well_formed
from mtl.tasks.text import clean

MARKERS = ["A.", "B. ", " C. ", "Options:", "Correct: A", "Difficulty: Easy", "1. Question:", "MCQs:", "_ ", ". ", " "]
TEXT = st.lists(st.one_of(st.text(max_size=12), st.sampled_from(MARKERS)), min_size=1, max_size=6).map("".join)
KEPT = TEXT.map(lambda text: escape(clean(text))).filter(bool)


@st.composite
def questions(draw: st.DrawFn) -> list[dict[str, Any]]:
    return [
        {
            "question": draw(KEPT),
            "options": [draw(KEPT) for _ in LETTERS],
            "correct": draw(st.sampled_from(LETTERS)),
            "difficulty": draw(st.sampled_from(["Easy", "Medium", "Hard"])),
        }
        for _ in range(draw(st.integers(1, 4)))
    ]


GOOD: dict[str, Any] = {
    "question": "He is _ .",
    "options": ["in", "out", "up", "off"],
    "correct": "B",
    "difficulty": "Hard",
}
WRITTEN = "MCQs: 1. Question: He is _ . Options: A. in B. out C. up D. off Correct: B Difficulty: Hard"


@settings(max_examples=300)
@given(questions())
def test_what_is_rendered_is_read_back(items: list[dict[str, Any]]) -> None:
    assert parse(render_target(items)) == items
    assert well_formed(render_target(items)) == items
    assert attempts(render_target(items)) == (len(items), len(items))


@settings(max_examples=300)
@given(st.one_of(st.text(), TEXT.map(lambda text: WRITTEN + text)))
def test_no_text_breaks_the_reader_and_what_it_reads_is_canonical(text: str) -> None:
    read = parse(text)
    assert read is None or render_target(read) == " ".join(text.split())
    well_formed(text)
    attempts(text)


@given(TEXT)
def test_escape_is_its_own_fixed_point(text: str) -> None:
    once = escape(clean(text))
    assert escape(once) == once
    assert escape(clean(once)) == once


def test_the_written_form() -> None:
    assert render_target([GOOD]) == WRITTEN
    assert parse(WRITTEN.replace(" Options:", "\nOptions:")) == [GOOD]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MCQs:",
        "Summary: x",
        WRITTEN[6:],
        WRITTEN.replace("1. Question", "2. Question"),
        WRITTEN.replace(" D. off", ""),
        WRITTEN.replace(" D. off", " D. off E. on"),
        WRITTEN.replace(" C. up", " B. up"),
        WRITTEN.replace("A. in", "A.  ").replace("  ", " "),
        WRITTEN.replace("Correct: B", "Correct: E"),
        WRITTEN.replace("Correct: B", "Correct: AB"),
        WRITTEN.replace("Correct: B", "Correct:"),
        WRITTEN.replace("Hard", "Tricky"),
        WRITTEN.replace("Hard", "Hard."),
        WRITTEN[:-5],
        WRITTEN + " " + WRITTEN[6:],
        "Here you are: " + WRITTEN,
    ],
)
def test_anything_else_is_not_of_the_form(text: str) -> None:
    assert parse(text) is None


def test_well_formed_questions_are_found_among_broken_ones() -> None:
    second = WRITTEN[6:].replace("1. Question", "2. Question")
    broken = f"{WRITTEN.replace('Correct: B', 'Correct: Z')} {second} 3. Question: cut off Opti"
    assert parse(broken) is None
    assert well_formed(broken) == [GOOD]
    assert attempts(broken) == (3, 1)


def test_reading_stays_linear_on_text_made_to_hurt() -> None:
    began = time.monotonic()
    for text in ("MCQs: 1. Question: " + " A. B. C. D. Options: " * 20_000, "1. Question: " * 20_000, " 1." * 100_000):
        assert parse(text) is None
        well_formed(text)
    assert time.monotonic() - began < 5
