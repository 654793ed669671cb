"""ROUGE-1, -2, -L and -Lsum F-measures of one pair of texts, over rouge_score with Porter stemming.

ROUGE is Lin (2004), "ROUGE: A Package for Automatic Evaluation of Summaries". ROUGE-Lsum is what papers on
CNN/DailyMail print as "ROUGE-L" (t5/evaluation/metrics.py): the union of longest common subsequences over sentences.
rouge_score knows the letters a to z alone; where the reference is in another script, words are those of that script.

    >>> rouge_scores("the cats sat", "the cat sat")["rouge1"]
    1.0
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from mtl.metrics.text import in_other_script, script_words

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

_SENTENCE_END = re.compile(r"""(?<=[.!?。।؟۔])(?:["'”’)\]]*)\s+""")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|jr|sr|gen|gov|sen|rep|lt|col|sgt|capt|no|vs|inc|co|etc)|\b[a-z])\.$", re.IGNORECASE
)


def rouge_scores(prediction: str, reference: str) -> dict[str, float]:
    """F-measures in 0..1, one per name of ROUGE_TYPES; 0 where either text has no word."""
    scores = _scorer(in_other_script(reference)).score(_lines(reference), _lines(prediction))
    return {name: float(scores[name].fmeasure) for name in ROUGE_TYPES}


def split_sentences(text: str) -> list[str]:
    """Sentences of a summary: cut at newlines, at a free-standing full stop (t5/evaluation) and at sentence ends.

    An end is one of . ! ? before white space, unless it ends a title or an initial ("Mr. Smith", "the U.S. team").
    """
    sentences = []
    for line in text.splitlines():
        start = 0
        for end in _SENTENCE_END.finditer(line):
            if not _ABBREVIATION.search(line, start, end.start()):
                sentences.append(line[start : end.end()].strip())
                start = end.end()
        sentences.append(line[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _lines(text: str) -> str:
    """The form that rouge_score reads sentences from: one a line. The other ROUGEs see words only."""
    return "\n".join(split_sentences(text))


class _CachedStemmer:
    """nltk's Porter stemmer with a memory: stemming is most of the time otherwise, and words repeat."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer  # type: ignore[import-untyped]  # nltk ships no types

        self.stem = lru_cache(maxsize=1 << 17)(PorterStemmer().stem)


class _AnyScript:
    """Words of any script; those of a to z are stemmed as rouge_score does."""

    def __init__(self) -> None:
        self._stemmer = _CachedStemmer()

    def tokenize(self, text: str) -> list[str]:
        found = script_words(text.lower())
        return [self._stemmer.stem(word) if word.isascii() and len(word) > 3 else word for word in found]


@cache
def _scorer(any_script: bool) -> RougeScorer:
    # Imported here: nltk takes two seconds, and whoever lists the tasks does not score.
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    if any_script:
        return RougeScorer(list(ROUGE_TYPES), tokenizer=_AnyScript())
    tokenizer = DefaultTokenizer(use_stemmer=False)
    tokenizer._stemmer = _CachedStemmer()
    return RougeScorer(list(ROUGE_TYPES), tokenizer=tokenizer)
