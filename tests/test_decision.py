"""Each state of a version has a word of its own, wherever it is read."""

from __future__ import annotations

import pytest

from mtl.decision import Decision, headline, label, predicate


def test_no_two_decisions_read_alike() -> None:
    for words in (predicate, label, headline):
        assert len({words(decision, "Ann") for decision in Decision}) == len(Decision)


@pytest.mark.parametrize(
    ("decision", "sentence", "title"),
    [
        (Decision.PROMOTE, "passed the gate", "Promoted to champion"),
        (Decision.REJECT, "was rejected by the gate", "Not promoted: rejected by the gate"),
        (Decision.WAITING, "waits for a person's approval", "Waits for a person's approval"),
        (Decision.REFUSED, "was refused by Ann", "Not promoted: refused by Ann"),
        (Decision.APPROVED, "was approved by Ann", "Promoted to champion: approved by Ann"),
        (Decision.FORCED, "was promoted by force by Ann", "Promoted to champion: promoted by force by Ann"),
    ],
)
def test_words(decision: Decision, sentence: str, title: str) -> None:
    assert predicate(decision, "Ann") == sentence
    assert headline(decision, "Ann") == title


@pytest.mark.parametrize(("written", "said"), [("", "was not judged yet"), ("perhaps", "unknown decision 'perhaps'")])
def test_what_no_release_of_ours_wrote_is_said_to_be_so(written: str, said: str) -> None:
    assert said in predicate(written)
