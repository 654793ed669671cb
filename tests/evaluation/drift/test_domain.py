"""The domain classifier: what is alike is not told apart, what differs is, and nobody's name is shown."""

from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from mtl.evaluation.drift.domain import FEWEST, tell_apart

WORDS = [f"{a}{b}" for a in "badefgkmnprst" for b in ("abo", "emi", "olu", "ani", "ipe")]


def texts(number: int, *, seed: int, more: str = "", share: float = 0.0) -> list[str]:
    """Texts of thirty common words each. more: a word that a share of them has too."""
    rng = random.Random(seed)
    drawn = [rng.choices(WORDS, k=30) for _ in range(number)]
    return [" ".join([*words, more] if rng.random() < share else words) for words in drawn]


def test_alike_texts_are_not_told_apart() -> None:
    found = [tell_apart(texts(60, seed=2 * n), texts(60, seed=2 * n + 1), seed=n, permutations=99) for n in range(20)]
    assert 0.44 < np.mean([its.auc for its in found]) < 0.56
    assert 0.3 < np.mean([its.p for its in found]) < 0.7
    assert sum(its.p <= 0.05 for its in found) <= 4


def test_a_word_that_only_one_side_has_is_found_and_named() -> None:
    found = tell_apart(texts(60, seed=1), texts(60, seed=2, more="zeppelin", share=0.9), seed=0)
    assert found.auc > 0.85
    assert found.p == 0.001
    word = found.fresh_words[0]
    assert (word.word, word.reference) == ("zeppelin", 0.0)
    assert word.fresh > 0.8
    assert found.roc[0] == (0.0, 0.0)
    assert found.roc[-1] == (1.0, 1.0)


@pytest.mark.parametrize("side", ["fresh", "reference"])
def test_a_word_of_few_texts_is_never_shown(side: str) -> None:
    old, new = texts(60, seed=1), texts(60, seed=2)
    own = new if side == "fresh" else old
    for place in range(FEWEST - 1):
        own[place] += " grzegorz grzegorz"
    own[:] = [f"{text} 4711 zeppelin" for text in own]
    found = tell_apart(old, new, seed=0, permutations=99)
    shown = {word.word for word in (*found.fresh_words, *found.reference_words)}
    assert "zeppelin" in shown
    assert not {"grzegorz", "4711"} & shown, "no name of one text, and no number"


def test_it_is_the_ridge_classifier_of_scikit_learn() -> None:
    """The area that comes of one product of matrices is that of classifiers which are fitted one by one."""
    old, new = texts(60, seed=1), texts(60, seed=2, more="zeppelin", share=0.3)
    found = tell_apart(old, new, seed=0, permutations=1)
    weights = TfidfVectorizer(sublinear_tf=True, min_df=2).fit_transform([*old, *new]).toarray()
    labels, rng, folds = np.repeat([0, 1], 60), np.random.default_rng(0), np.empty(120, dtype=int)
    for place in (0, 60):
        folds[rng.permutation(np.arange(place, place + 60))] = np.arange(60) % 5
    areas = []
    for fold in range(5):
        test = folds == fold
        model = Ridge(alpha=1.0).fit(weights[~test], labels[~test])
        areas.append(roc_auc_score(labels[test], model.predict(weights[test])))
    assert found.auc == pytest.approx(np.mean(areas), abs=0.005)


def test_texts_without_a_word_in_common_are_not_told_apart() -> None:
    assert tell_apart(["a"] * 60, ["b"] * 60, seed=0, permutations=9).p == 1.0


def test_the_same_seed_gives_the_same() -> None:
    old, new = texts(60, seed=1), texts(60, seed=2)
    assert tell_apart(old, new, seed=3, permutations=99) == tell_apart(old, new, seed=3, permutations=99)
