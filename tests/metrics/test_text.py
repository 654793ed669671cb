from __future__ import annotations

import pytest

from mtl.metrics.text import copy_rate, distinct_n, ngrams, normalise, repeated_share, word_f1, words


def test_normalise_and_words() -> None:
    assert normalise("  The\tCAT \n sat ") == "the cat sat"
    assert normalise("ﬁne") == "fine"
    assert words("Don't stop: 2 cats!") == ["don", "t", "stop", "2", "cats"]


def test_ngrams() -> None:
    assert ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert ngrams(["a"], 2) == []
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ngrams(["a"], 0)


def test_copy_rate() -> None:
    source = "the red fox ran over the hill at night"
    assert copy_rate("The red fox ran", source, n=2) == 1
    assert copy_rate("the red hen ran", source, n=2) == pytest.approx(1 / 3)
    assert copy_rate("a b c d", source) == 0
    assert copy_rate("too short", source) is None


def test_distinct_n() -> None:
    assert distinct_n(["a b", "a b", "a c"], n=2) == pytest.approx(2 / 3)
    assert distinct_n(["a"], n=2) is None


def test_repeated_share() -> None:
    assert repeated_share(["Who ran?", "who ran", "Who sat?", "Why?"]) == pytest.approx(1 / 4)
    assert repeated_share(["one", "two"]) == 0
    assert repeated_share([]) is None


def test_word_f1() -> None:
    assert word_f1("a cat", "the cat") == pytest.approx(0.5)
    assert word_f1("cat cat", "cat") == pytest.approx(2 / 3)
    assert word_f1("", "") == 1
    assert word_f1("", "x") == 0
