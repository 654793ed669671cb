"""A domain classifier: can fresh texts be told from reference texts by their words?

A linear classifier (ridge) on tf-idf is fitted on four fifths of the texts and ranks the others, in turn. Its area
under the ROC curve is 0.5 where the two are alike. The p-value is that of a permutation test (classifier two-sample
test, Lopez-Paz and Oquab 2017): labels are exchanged among the texts of each fold, and the classifier is fitted again.
The scores of a ridge classifier are linear in the labels, so that a thousand fits are one product of matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl.evaluation.drift.records import Domain, Word

Array = NDArray[np.float64]
Places = NDArray[np.int64]
PERMUTATIONS = 999
FEWEST = 5
"""A word is shown only if so many texts of the side that it marks have it: it is not one person's name then."""
_FOLDS = 5
_RIDGE = 1.0
"""Penalty, beside texts of length 1; the default of scikit-learn."""
_CHARACTERS = 20_000
"""Of a text that are looked at."""
_WORDS, _POINTS = 15, 60
"""Words of each side, and points of the ROC curve, that are kept."""
_LONGEST = 30
_TELLING = 0.05
"""With a higher p-value, the words of a side are those that it has by chance, and none is shown."""


@dataclass(frozen=True, slots=True)
class _Fold:
    """Places of its texts and of all others, and the matrix that makes scores of it out of the labels of the others."""

    test: Places
    train: Places
    scores: Array


def tell_apart(
    reference: Sequence[str], fresh: Sequence[str], *, seed: int, permutations: int = PERMUTATIONS
) -> Domain:
    """How well `fresh` texts can be told from `reference` texts.

    Without drift the texts must be exchangeable: one of each passage, and none on both sides.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to import

    rng = np.random.default_rng(seed)
    labels = np.repeat([0.0, 1.0], [len(reference), len(fresh)])
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
    try:
        weights = vectorizer.fit_transform([text[:_CHARACTERS] for text in (*reference, *fresh)])
    except ValueError:  # no word is in two texts
        return Domain(0.5, 1.0)
    kernel = _centred((weights @ weights.T).toarray())
    folds = list(_folds(kernel, labels, rng))
    areas, ranks = _areas(folds, _relabelled(folds, labels, permutations, rng))
    found = Domain(
        auc=round(float(areas[0]), 4),
        p=(1 + int((areas[1:] >= areas[0] - 1e-12).sum())) / (permutations + 1),
        roc=_roc(ranks, labels),
    )
    if found.p >= _TELLING:
        return found
    fresh_words, reference_words = _words(list(vectorizer.get_feature_names_out()), weights, kernel, labels)
    return replace(found, fresh_words=fresh_words, reference_words=reference_words)


def _centred(kernel: Array) -> Array:
    """Of texts whose mean is subtracted, in place of an intercept."""
    mean = kernel.mean(0)
    return np.asarray(kernel - mean - mean[:, None] + mean.mean())


def _folds(kernel: Array, labels: Array, rng: np.random.Generator) -> Iterator[_Fold]:
    """Each has as many texts of a side as the others, give or take one."""
    own = np.empty(len(labels), dtype=np.int64)
    for side in (0, 1):
        places = np.flatnonzero(labels == side)
        own[rng.permutation(places)] = np.arange(len(places)) % _FOLDS
    for fold in range(_FOLDS):
        test, train = np.flatnonzero(own == fold), np.flatnonzero(own != fold)
        inner = kernel[np.ix_(train, train)] + _RIDGE * np.eye(len(train))
        yield _Fold(test, train, np.asarray(np.linalg.solve(inner, kernel[np.ix_(train, test)]).T, dtype=np.float64))


def _relabelled(folds: Sequence[_Fold], labels: Array, permutations: int, rng: np.random.Generator) -> Array:
    """Texts x (1 + permutations): the labels as they are, then exchanged within each fold."""
    found = np.repeat(labels[:, None], permutations + 1, axis=1)
    for fold in folds:
        found[fold.test, 1:] = rng.permuted(found[fold.test, 1:], axis=0)
    return found


def _areas(folds: Sequence[_Fold], labels: Array) -> tuple[Array, Array]:
    """(area under the curve for each column of labels, rank of each text in its fold for the first column, 0 to 1).

    Texts are compared within their fold, whose scores are of one classifier.
    """
    from scipy.stats import rankdata

    above, pairs = np.zeros(labels.shape[1]), np.zeros(labels.shape[1])
    first = np.zeros(len(labels))
    for fold in folds:
        own, others = labels[fold.test], labels[fold.train]
        ranks = rankdata(fold.scores @ (others - others.mean(0)), axis=0)
        first[fold.test] = ranks[:, 0] / len(own)
        positive = own.sum(0)
        above += (ranks * own).sum(0) - positive * (positive + 1) / 2
        pairs += positive * (len(own) - positive)
    return above / np.maximum(pairs, 1), first


def _roc(ranks: Array, labels: Array) -> tuple[tuple[float, float], ...]:
    fresh = labels[np.argsort(-ranks, kind="stable")]
    true, false = np.cumsum(fresh) / fresh.sum(), np.cumsum(1 - fresh) / (1 - fresh).sum()
    kept = np.linspace(0, len(fresh) - 1, min(_POINTS, len(fresh))).astype(int)
    return ((0.0, 0.0), *((round(float(false[i]), 3), round(float(true[i]), 3)) for i in kept))


def _words(
    names: Sequence[str], weights: Any, kernel: Array, labels: Array
) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    """(those that mark fresh texts, those that mark reference texts) to a classifier that is fitted on all texts."""
    strength = np.linalg.solve(kernel + _RIDGE * np.eye(len(labels)), labels - labels.mean())
    coefficients = weights.T @ strength
    has = (weights > 0).astype(float)
    fresh, reference = has.T @ labels, has.T @ (1 - labels)
    shares = fresh / labels.sum(), reference / (1 - labels).sum()
    gain = shares[0] - shares[1]

    def marking(sign: int) -> tuple[Word, ...]:
        """In the order of what they do to the texts that have them."""
        effect = sign * coefficients * np.maximum(sign * gain, 0)
        own = fresh if sign > 0 else reference
        found = [i for i in np.argsort(-effect) if effect[i] > 0 and own[i] >= FEWEST]
        shown = [i for i in found if names[i].isalpha() and len(names[i]) <= _LONGEST][:_WORDS]
        return tuple(Word(names[i], round(shares[0][i], 3), round(shares[1][i], 3)) for i in shown)

    return marking(1), marking(-1)
