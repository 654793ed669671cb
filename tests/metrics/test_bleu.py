"""Sentence BLEU: equal to nltk's on text of one reference, and sensible at its ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.metrics.bleu import sentence_bleu

WORDS = st.lists(st.sampled_from(["the", "lake", "of", "Lund", "froze", "in", "winter"]), max_size=9).map(" ".join)


def test_the_value_of_papineni_by_hand() -> None:
    value = sentence_bleu("the cat sat on a mat", ["the cat sat on the mat"])
    # shared: 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 runs of four; equally long, so no penalty
    assert value == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25)


@pytest.mark.parametrize(
    ("prediction", "references", "value"),
    [
        ("Where is the lake?", ["Where is the lake?"], 1.0),
        ("Where is the LAKE", ["who knows", "Where is the lake?"], 1.0),
        ("lake", ["lake"], 1.0),
        ("", ["lake"], 0.0),
        ("lake", [""], 0.0),
        ("lake", [], 0.0),
        ("boat", ["lake"], 0.0),
    ],
)
def test_the_ends(prediction: str, references: list[str], value: float) -> None:
    assert sentence_bleu(prediction, references) == pytest.approx(value)


@given(WORDS, st.lists(WORDS, max_size=3), WORDS)
def test_in_range_and_never_less_with_another_reference(text: str, references: list[str], other: str) -> None:
    few, more = sentence_bleu(text, references), sentence_bleu(text, [*references, other])
    assert 0 <= few <= more <= 1 + 1e-9
