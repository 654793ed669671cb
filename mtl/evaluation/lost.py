"""How many of the requested questions can be used, and why the others were lost: one bar for each model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtl.evaluation.numbers import number
from mtl.evaluation.report import BASE, CANDIDATE, EvalReport
from mtl.metrics.reading import USABLE
from mtl.task import Groups

_WORDS = {
    USABLE: "usable",
    "lost_key": "key not picked",
    "lost_repeated": "repeated",
    "lost_level": "wrong {kind}",
    "lost_unread": "not readable",
}


_READERS = {BASE: "the base model without an adapter", CANDIDATE: "the candidate itself"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: the metric, what it is called, where it starts, and its share (0..1)."""

    metric: str
    words: str
    start: float
    share: float

    @property
    def shown(self) -> str:
        return number(self.share)


def bars(report: EvalReport, task: str) -> Mapping[str, Sequence[Part]]:
    """model -> the parts of its bar; empty for a task whose questions nobody read."""
    found = {}
    for model in report.models:
        shares = {name: report.mean(model, task, name) for name in _WORDS}
        if all(share is not None and math.isfinite(share) for share in shares.values()):
            found[model] = _parts(shares, report.groups.get(task, Groups()).kind)
    return found


def explanation(report: EvalReport) -> str:
    """What `usable` means, what the reader is and how good it is, for the person who approves; empty without one."""
    note = report.settings.get("reader")
    if not note:
        return ""
    reader = _READERS.get(note["name"], note["name"])
    seen, blind = (number(note[f"reference_{side}_passage"]) for side in ("with", "without"))
    return (
        "A requested question is usable if it can be read, has distinct options and one key, is of a requested "
        "difficulty, does not repeat an earlier question, and its key is the option that the reader picks. "
        f"The reader is a model that answers a question from the passage. Here it is {reader}, and it read the "
        f"questions of {note['examples']} examples. Of {note['reference_questions']} of the data set's own questions, "
        f"it answers {seen} correctly with the passage and {blind} without it; chance is 0.250 with four options."
    )


def _parts(shares: Mapping[str, float | None], kind: str) -> list[Part]:
    parts: list[Part] = []
    start = 0.0
    for name, words in _WORDS.items():
        share = shares[name] or 0.0
        parts.append(Part(name, words.format(kind=kind), start, share))
        start += share
    return parts
