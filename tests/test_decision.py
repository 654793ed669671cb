"""Each state of a version has a word of its own, wherever it is read."""

from __future__ import annotations

import pytest

from mtl.decision import DecisionState, headline, label, predicate


def test_no_two_decisions_read_alike() -> None:
    for words in (predicate, label, headline):
        assert len({words(decision, "Ann") for decision in DecisionState}) == len(DecisionState)


@pytest.mark.parametrize(
    ("decision", "sentence", "title"),
    [
        (DecisionState.PROMOTE, "passed the gate", "Promoted to champion"),
        (DecisionState.REJECT, "was rejected by the gate", "Not promoted: rejected by the gate"),
        (DecisionState.WAITING, "waits for a person's approval", "Waits for a person's approval"),
        (DecisionState.REFUSED, "was refused by Ann", "Not promoted: refused by Ann"),
        (DecisionState.APPROVED, "was approved by Ann", "Promoted to champion: approved by Ann"),
        (DecisionState.FORCED, "was promoted by force by Ann", "Promoted to champion: promoted by force by Ann"),
    ],
)
def test_words(decision: DecisionState, sentence: str, title: str) -> None:
    assert predicate(decision, "Ann") == sentence
    assert headline(decision, "Ann") == title


@pytest.mark.parametrize(("written", "said"), [("", "was not judged yet"), ("perhaps", "unknown decision 'perhaps'")])
def test_what_no_release_of_ours_wrote_is_said_to_be_so(written: str, said: str) -> None:
    assert said in predicate(written)
