"""Counting words and n-grams: normalisation, copying, repetition, words of any script. Pure Python."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_SPACES = re.compile(r"\s+")
_BEYOND_LATIN = re.compile(r"[\u0370-\U0010ffff]")
_WITHOUT_SPACES = re.compile(
    r"[\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e45\u0e81-\u0eb0\u0eb2\u0eb3\u0ec0-\u0ec4\u1000-\u102a\u1780-\u17b3"
    r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Kana and Han: they write no spaces, so a letter counts as a word."""


def in_other_script(text: str) -> bool:
    """Whether the text has letters that are not Latin."""
    return not text.isascii() and any(map(str.isalpha, set(_BEYOND_LATIN.findall(text))))


def script_words(text: str) -> list[str]:
    """Runs of letters of any script with their marks, and of digits; a letter each where a script writes no spaces."""
    return _WITHOUT_SPACES.sub(r" \g<0>", text.translate(_BLANKED)).split()


class _Blanks(dict[int, int]):
    """Table for str.translate: letters, marks and digits stay, all else is a blank."""

    def __missing__(self, code: int) -> int:
        self[code] = kept = code if unicodedata.category(chr(code))[0] in "LMN" else ord(" ")
        return kept


_BLANKED = _Blanks()


def normalise(text: str) -> str:
    """NFKC, case folded, each run of white space one space: what two texts are compared by."""
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def words(text: str) -> list[str]:
    """Words of the normalised text, punctuation left out."""
    plain = normalise(text)
    return script_words(plain) if in_other_script(plain) else _WORD.findall(plain)


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All n-grams in order: len(tokens) - n + 1 of them, none where there are fewer tokens than n."""
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def copy_rate(text: str, source: str, *, n: int = 4) -> float | None:
    """Share of the text's n-grams that occur in the source, 0..1; None where the text has fewer than n words.

    1 - the share of novel n-grams of See et al. (2017), "Get To The Point", figure 6.
    """
    found = ngrams(words(text), n)
    if not found:
        return None
    known = set(ngrams(words(source), n))
    return sum(gram in known for gram in found) / len(found)


def distinct_n(texts: Sequence[str], *, n: int = 2) -> float | None:
    """Different n-grams over all n-grams of the texts together, in (0, 1]; None where there are none.

    Li et al. (2016), "A Diversity-Promoting Objective Function", section 5.2.
    """
    found = [gram for text in texts for gram in ngrams(words(text), n)]
    return len(set(found)) / len(found) if found else None


def repeated_share(texts: Sequence[str]) -> float | None:
    """Share of the texts that say the same words as an earlier one of them, 0..1; None where there are no texts."""
    if not texts:
        return None
    return 1 - len({tuple(words(text)) for text in texts}) / len(texts)


def word_f1(prediction: str, reference: str) -> float:
    """F-measure of the two bags of words, 0..1 (Rajpurkar et al. 2016, SQuAD, section 6.1); two empty texts agree."""
    first, second = words(prediction), words(reference)
    if not first or not second:
        return float(first == second)
    common = sum(min(first.count(word), second.count(word)) for word in set(first))
    return 2 * common / (len(first) + len(second))
