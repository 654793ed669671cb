"""How answers are decoded: in words for the report, and refused where it makes no sense."""

from __future__ import annotations

from typing import Any

import pytest

from mtl.decoding import GREEDY, Decoding, seed_of
from mtl.errors import InputError


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "greedy"),
        ({"num_beams": 4}, "beam search (4 beams, length penalty 1)"),
        ({"num_beams": 4, "length_penalty": 0.6}, "beam search (4 beams, length penalty 0.6)"),
        ({"candidates": 4}, "best of 4 candidates"),
    ],
)
def test_it_is_said_in_words(values: dict[str, Any], words: str) -> None:
    assert str(Decoding(**values)) == words
    assert (Decoding(**values) == GREEDY) is (words == "greedy")


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"candidates": 0}, "candidates", "candidates must be a whole number from 1 to 16, got 0"),
        ({"candidates": 17}, "candidates", "candidates must be a whole number from 1 to 16, got 17"),
        ({"candidates": True}, "candidates", "got True"),
        ({"num_beams": 2.0}, "num_beams", "num_beams must be a whole number from 1 to 16, got 2.0"),
        ({"num_beams": 2, "length_penalty": float("nan")}, "length_penalty", "a number from -10 to 10, got nan"),
        ({"length_penalty": 0.6}, "length_penalty", "length_penalty is 0.6, but without beams it has no effect"),
        ({"num_beams": 4, "candidates": 2}, "candidates", "candidates (2) and num_beams (4) exclude each other"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Decoding(**values)
    assert caught.value.field == field and message in str(caught.value)


def test_each_answer_to_each_input_has_a_seed_of_its_own() -> None:
    assert seed_of("a", 1) == seed_of("a", 1)
    assert len({seed_of(text, number) for text in "abc" for number in range(4)}) == 12
