"""Which questions of an answer can be used as they are, and why the others cannot.

A question counts if it has distinct options, asks for something that no earlier question of the answer asks for, is of
a group (such as a difficulty) that was requested, and has a key that the reader picks when it is given the passage. Of
each group, no more questions count than were requested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from mtl.metrics.text import normalise
from mtl.task import ReadingQuestion


class Fault(StrEnum):
    """Why a question cannot be used. The order is that in which they are looked for."""

    OPTIONS = "options"
    GROUP = "group"
    REPEATED = "repeated"
    KEY = "key"


def faults(
    questions: Sequence[ReadingQuestion], picks: Sequence[int], requested: Mapping[str, int]
) -> list[Fault | None]:
    """The fault of each question of one answer, in their order; None for one that can be used.

    picks: the option that the reader picks for each. requested: label of a group -> number of questions.
    """
    asked: set[str] = set()
    found = []
    for question, pick in zip(questions, picks, strict=True):
        text = normalise(question.question)
        found.append(_fault(question, pick, requested, repeated=text in asked))
        asked.add(text)
    return found


def usable(questions: Sequence[ReadingQuestion], found: Sequence[Fault | None], requested: Mapping[str, int]) -> int:
    """How many of the requested questions the answer delivers. found: what `faults` says of them."""
    good = Counter(question.label for question, fault in zip(questions, found, strict=True) if fault is None)
    return sum(min(good[label], count) for label, count in requested.items())


def _fault(question: ReadingQuestion, pick: int, requested: Mapping[str, int], *, repeated: bool) -> Fault | None:
    if len({normalise(option) for option in question.options}) < len(question.options):
        return Fault.OPTIONS
    if not requested.get(question.label):
        return Fault.GROUP
    if repeated:
        return Fault.REPEATED
    return None if pick == question.key else Fault.KEY
