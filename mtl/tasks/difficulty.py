"""Difficulty of a question: a deterministic rule over what a reader has to do to answer it.

RACE has two levels; RACE++ (Liang et al. 2019) adds RACE-C and maps middle, high, college to easy, medium, hard. Scheme
`levels-1` is that mapping. Scheme `overlap-1` makes three labels out of middle and high alone: middle is Easy, college
is Hard, and a high question is Medium if its `ease` reaches `MEDIUM_FROM`, else Hard:

    ease = evidence + cloze - reasoning - length
    evidence   share of the correct option's content words within the passage's best single sentence, and a third more
               if the option stands in the passage word for word: an answer that can be looked up
    cloze      a gap to fill in, with evidence: easier than a question to think about
    reasoning  the question asks why, what is implied, true, not mentioned, the best title, an attitude, ...
    length     long options have to be read and compared

`MEDIUM_FROM` was set on RACE-H so that about 40% of its questions become Medium: 39% of 4,717 and 42% of 697 questions
of train and validation. That ease means something shows on RACE-M, which the rule never labels by it: 62% of its
questions reach the same mark, and a middle question is easier than a high one in 68% of pairs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain

from mtl.tasks.text import stem, words

LEVELS = ("middle", "high", "college")
DIFFICULTIES = ("Easy", "Medium", "Hard")
MEDIUM_FROM = 0.22

_STOP = frozenset(
    words(
        "a an the and or but of to in on at by for with from as is are was were be been being am do does did has have "
        "had he she it they we you i his her its their our your my him them us me this that these those there here who "
        "whom which what when where how than then so very too more most some any all no not can could will would "
        "should may might must shall about into out up down over under after before because if while people person "
        "thing things"
    )
)
_REASONING = re.compile(
    r"\b(why|infer\w*|impl(?:y|ie[sd])|conclu\w+|probably|most likely|likely|suggests?|attitude|feel|purpose|"
    r"main(?:ly)? (?:idea|about|discuss\w*|topic|tells?|talks?)|mainly|mostly about|best title|title|headline|"
    r"true|false|wrong|correct|except|not|author|writer|passage (?:is|tells|shows)|"
    r"learn (?:from|about)|know (?:from|about)|tell from|(?:can|could|do) we (?:know|guess|learn)|guess|"
    r"mean(?:s|ing)?|refers? to|underlined|example|tone|view|opinion|moral|lesson|believes?|think)\b"
)
SENTENCE = re.compile(r"(?<=[.!?।؟۔])\s+|(?<=。)\s*")

Reading = tuple[str, Sequence[frozenset[str]]]
"""A passage prepared once for all of its questions: its words as one string, and the stems of each sentence."""


def reading(passage: str) -> Reading:
    """What `ease` needs of a passage."""
    sentences = [words(sentence) for sentence in SENTENCE.split(passage)]
    text = " ".join(chain.from_iterable(sentences))
    return f" {text} ", [frozenset(map(stem, sentence)) for sentence in sentences]


def ease(passage: Reading, question: str, option: str) -> float:
    """How easily the question is answered from the passage; `option` is the correct one. About -1 to 1.6."""
    gap = "_" in question
    found = evidence(passage, option)
    reasoning = 0.7 if _REASONING.search(question.lower()) else 0.0
    length = min(0.3, 0.02 * len(words(option)))
    return found + (0.5 * found if gap else 0.0) - reasoning - length


def evidence(passage: Reading, option: str) -> float:
    """0 to 1.33: share of the option's content words in one sentence, and a third more for the option verbatim."""
    text, sentences = passage
    said = words(option)
    content = {stem(word) for word in said if word not in _STOP} or {stem(word) for word in said}
    if not content:
        return 0.0
    share = max(len(content & sentence) for sentence in sentences) / len(content)
    return share + (1 / 3 if f" {' '.join(said)} " in text else 0.0)


def _overlap(level: str, passage: Callable[[], Reading], *, question: str, option: str) -> str:
    if level == "high":
        return "Medium" if ease(passage(), question, option) >= MEDIUM_FROM else "Hard"
    return "Easy" if level == "middle" else "Hard"


def _levels(level: str, passage: Callable[[], Reading], *, question: str, option: str) -> str:
    return DIFFICULTIES[LEVELS.index(level)]


SCHEMES = {"overlap-1": _overlap, "levels-1": _levels}
"""Name and version of a scheme -> (level, prepared passage, question, correct option) -> label."""
