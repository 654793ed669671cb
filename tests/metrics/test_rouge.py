"""ROUGE against values that can be checked by hand, the paper's examples, and rouge_score itself."""

from __future__ import annotations

import pytest
from rouge_score.rouge_scorer import RougeScorer

from mtl.metrics.rouge import ROUGE_TYPES, rouge_scores, split_sentences

PAIRS = [
    ("A storm closed the port of Lund. Ships waited.", "Ships waited as a storm closed the port."),
    ("The mayor opened a bridge.", "A new bridge was opened by the mayor.\nIt cost two million."),
    ("nothing in common", "words of another text"),
    ("", "an empty prediction"),
]


@pytest.mark.parametrize(
    ("prediction", "rouge2", "rouge_l"),
    [
        # Lin (2004), section 3.1, with "shot" and "hit" for "killed" and "kill", which share their stem.
        ("police hit the gunman", 1 / 3, 0.75),
        ("the gunman hit police", 1 / 3, 0.5),
        ("the gunman police shot", 2 / 3, 0.5),
    ],
)
def test_the_sentences_of_the_rouge_paper(prediction: str, rouge2: float, rouge_l: float) -> None:
    scores = rouge_scores(prediction, "police shot the gunman")
    assert scores["rouge2"] == pytest.approx(rouge2)
    assert scores["rougeL"] == pytest.approx(rouge_l)


def test_the_summary_of_the_rouge_paper() -> None:
    # Lin (2004), section 3.2: the union LCS is w1 w2 w3 w5, so recall is 4/5; here precision is 4/10.
    scores = rouge_scores("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", "w1 w2 w3 w4 w5")
    assert scores["rougeLsum"] == pytest.approx(2 * 0.8 * 0.4 / (0.8 + 0.4))


@pytest.mark.parametrize(
    ("prediction", "reference", "expected"),
    [
        ("the cat sat", "the cat sat", (1, 1, 1, 1)),
        ("testing", "testing one two", (1 / 2, 0, 1 / 2, 1 / 2)),  # precision 1, recall 1/3
        ("testing one", "testing one two", (4 / 5, 2 / 3, 4 / 5, 4 / 5)),
        ("two one", "one two", (1, 0, 1 / 2, 1 / 2)),
        ("The cats were running", "the cat was run", (3 / 4, 1 / 3, 3 / 4, 3 / 4)),  # stems; "were" is not "was"
        ("", "one", (0, 0, 0, 0)),
        ("one", "", (0, 0, 0, 0)),
    ],
)
def test_values_by_hand(prediction: str, reference: str, expected: tuple[float, ...]) -> None:
    assert list(rouge_scores(prediction, reference)) == list(ROUGE_TYPES)
    assert list(rouge_scores(prediction, reference).values()) == pytest.approx(list(expected))


@pytest.mark.parametrize(("prediction", "reference"), PAIRS)
def test_equals_rouge_score_with_stemming(prediction: str, reference: str) -> None:
    scorer = RougeScorer(list(ROUGE_TYPES), use_stemmer=True)
    theirs = scorer.score("\n".join(split_sentences(reference)), "\n".join(split_sentences(prediction)))
    assert rouge_scores(prediction, reference) == {name: theirs[name].fmeasure for name in ROUGE_TYPES}


def test_sentence_order_does_not_lower_rouge_lsum() -> None:
    scores = rouge_scores("Second sentence here. First one there.", "First one there.\nSecond sentence here.")
    assert scores["rougeLsum"] == 1
    assert scores["rougeL"] < 1


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("one . two .", ["one .", "two ."]),
        ("a\n\n b ", ["a", "b"]),
        ("Mr. Smith met Dr. Lee. They left.", ["Mr. Smith met Dr. Lee.", "They left."]),
        ("The U.S. team won. J. Doe scored.", ["The U.S. team won.", "J. Doe scored."]),
        ('He said "go." She went.', ['He said "go."', "She went."]),
        ("3.5 million", ["3.5 million"]),
        ("", []),
    ],
)
def test_split_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences
