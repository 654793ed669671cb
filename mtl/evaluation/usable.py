"""Which questions of an answer can be used as they are, and why the others cannot.

A question counts if it has distinct options, asks for something that no earlier question of the answer asks for, is of
a group (such as a difficulty) that was requested, and has a key that the reader picks when it is given the passage. Of
each group, no more questions count than were requested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

from mtl.evaluation.report import Readings
from mtl.metrics.reading import USABLE, usable_of
from mtl.metrics.text import normalise
from mtl.task import ReadingQuestion


class Fault(StrEnum):
    """Why a question cannot be used. The order is that in which they are looked for."""

    OPTIONS = "options"
    GROUP = "group"
    REPEATED = "repeated"
    KEY = "key"


def picked(probabilities: Sequence[float]) -> int:
    """The index of the most likely option, the first of equals: the one that a reader picks."""
    return max(range(len(probabilities)), key=probabilities.__getitem__)


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
    return sum(_counted(good, requested).values())


def shares(readings: Readings, requested: Mapping[str, int]) -> dict[str, float]:
    """`usable`, why the other requested questions were lost (`LOST`; the sum of all is 1), and `usable` of each label.

    A question that is missing is put down to one that was delivered and cannot be used, if there is one: to a wrong
    key first, then to a repetition, then to a wrong label or one question too many of a label. The rest could not be
    read. Nothing requested: no shares.
    """
    total = sum(requested.values())
    if not total:
        return {}
    good = Counter(one.label for one in readings if one.fault is None)
    counted = _counted(good, requested)
    kinds, count = Counter(one.fault for one in readings), sum(counted.values())
    faulty = {
        "lost_key": kinds[Fault.KEY],
        "lost_repeated": kinds[Fault.REPEATED] + kinds[Fault.OPTIONS],
        "lost_level": kinds[Fault.GROUP] + good.total() - count,
    }
    slots, left = {USABLE: count}, total - count
    for name, most in faulty.items():
        slots[name] = min(most, left)
        left -= slots[name]
    slots["lost_unread"] = left
    of_labels = {usable_of(label).name: counted[label] / number for label, number in requested.items()}
    return {name: number / total for name, number in slots.items()} | of_labels


def _counted(good: Counter[str], requested: Mapping[str, int]) -> dict[str, int]:
    """label -> how many of its questions count. good: label -> questions that can be used."""
    return {label: min(good[label], number) for label, number in requested.items()}


def _fault(question: ReadingQuestion, pick: int, requested: Mapping[str, int], *, repeated: bool) -> Fault | None:
    if len({normalise(option) for option in question.options}) < len(question.options):
        return Fault.OPTIONS
    if not requested.get(question.label):
        return Fault.GROUP
    if repeated:
        return Fault.REPEATED
    return None if pick == question.key else Fault.KEY
