"""BLEU of one short text against its references, over nltk (Papineni et al. 2002, "BLEU").

Sentences of a few words often share no four words with a reference, so zero counts are smoothed as NIST does (method 3
of Chen and Cherry 2014, "A Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU").

    >>> round(sentence_bleu("Where is the lake?", ["Where is the lake?"]), 3)
    1.0
"""

from __future__ import annotations

from collections.abc import Sequence

from mtl.metrics.text import words


def sentence_bleu(prediction: str, references: Sequence[str]) -> float:
    """BLEU-4 with the best-matching reference, 0..1; 0 where no word is shared or a text has no word.

    Texts of fewer than four words are measured by the n-grams that they have.
    """
    return max((_with_one(words(prediction), words(reference)) for reference in references), default=0.0)


def _with_one(prediction: list[str], reference: list[str]) -> float:
    if not set(prediction) & set(reference):
        return 0.0
    # Imported here: nltk takes two seconds, and whoever lists the tasks does not score.
    from nltk.translate.bleu_score import SmoothingFunction  # type: ignore[import-untyped]  # nltk ships no types
    from nltk.translate.bleu_score import sentence_bleu as bleu

    orders = min(4, len(prediction))
    weights = (1 / orders,) * orders
    return float(bleu([reference], prediction, weights=weights, smoothing_function=SmoothingFunction().method3))
