"""The tokenizer of the demo base: whole words of the demo's world, with letters to spell everything else.

A unigram model in T5's layout (pad 0, `</s>` 1, `<unk>` 2, sentinels last). Frequent words become one piece each, so
that sequences are short; every printable ASCII character is a piece, so that any ASCII text can be written.
"""

import collections
import math
import re
import string
from collections.abc import Iterable
from typing import Final

from transformers import T5Tokenizer

SENTINELS: Final = 32
SPACE: Final = "▁"
PIECE: Final = re.compile(r"[A-Za-z]+|\d{1,2}|'s|[^A-Za-z\d]")
WHOLE: Final = (
    *(f"{letter}." for letter in "ABCD"),
    *(f"{number}." for number in range(1, 9)),
    *("MCQs:", "Question:", "Options:", "Correct:", "Difficulty:", "Summary:", "Answer:"),
)
LEVELS: Final = ("Easy", "Medium", "Hard")
WORDS: Final = (*LEVELS, "Summarize", "Generate", "MCQs", "following", "article", "questions", "summary", "text")
SUFFIXES: Final = ("ing", "ed", "er", "es", "s", "en", "al", "ly", "ness", "ment", "tion", "able", "ful", "est", "ity",
                   "ous", "ish", "ive", "ic", "an", "in", "on", "or", "ar", "at")  # fmt: skip
RARE: Final = -12.0
RAREST: Final = 5
"""A piece must occur so often to be in the vocabulary: made-up words do not, the world's words do."""


def pieces(word: str) -> list[str]:
    """A word (no spaces in it) cut into the pieces that the vocabulary should hold."""
    if word in WHOLE:
        return [SPACE + word]
    found = PIECE.findall(word)
    return [SPACE + found[0], *found[1:]]


def count(texts: Iterable[str]) -> "collections.Counter[str]":
    """How often each piece occurs in the texts."""
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        for word in text.split():
            counts.update(pieces(word))
    return counts


def build(texts: Iterable[str], *, size: int) -> T5Tokenizer:
    """A tokenizer of at most `size` tokens, sentinels included, made from the pieces of the texts."""
    counts = count(texts)
    for word in (*WHOLE, *WORDS):
        counts[SPACE + word] += 20
    counts.update(dict.fromkeys(LEVELS, 20))
    counts.update({SPACE + str(number): 5 for number in range(100)})
    total = sum(counts.values())
    spelling = [SPACE, *string.ascii_letters, *string.digits, *string.punctuation, *SUFFIXES]
    room = size - 3 - SENTINELS - len(spelling)
    scores = dict.fromkeys(spelling, RARE)
    frequent = [(piece, times) for piece, times in counts.items() if times >= RAREST]
    for piece, times in sorted(frequent, key=lambda item: (-item[1], item[0]))[:room]:
        scores[piece] = max(RARE + 1.0, math.log(times / total))
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    sentinels = [(f"<extra_id_{number}>", 0.0) for number in reversed(range(SENTINELS))]
    vocabulary = [*special, *sorted(scores.items(), key=lambda item: (-item[1], item[0])), *sentinels]
    return T5Tokenizer(vocab=vocabulary, extra_ids=SENTINELS, model_max_length=1024)
