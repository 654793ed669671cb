"""Which logged texts a version is judged on: a bounded sample, a function of its seed and of the log. Pure.

A sample names answers of the log and holds none of their texts, so that no text outlives the log's retention in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from mtl.document import Line, Size
from mtl.example import Example
from mtl.fingerprint import sha256_bytes, sha256_json
from mtl.task import BadRequest, Task
from mtl.tasks.text import clean, passage_key
from mtl.traffic.records import AnswerId, ServedAnswer


class LeftOut(StrEnum):
    """Why a logged answer is not in the sample, in the order in which it is looked for."""

    UNKNOWN_TASK = "unknown_task"
    NEEDS_REFERENCE = "needs_reference"
    BAD_REQUEST = "bad_request"
    REPEATED = "repeated"
    TRAINED = "trained"
    HELD_OUT = "held_out"
    TOO_LONG = "too_long"
    NOT_DRAWN = "not_drawn"


@dataclass(frozen=True, slots=True)
class TrafficSample:
    """since, until: UTC, ISO 8601. logged: answers in the log in that time. ids: of those that were drawn.

    days: day -> texts that were drawn of it. left_out: `LeftOut` -> answers. damaged: parts of the log that could not
    be read. fault: why none of it could be read; empty if it could.
    """

    since: Line
    until: Line
    logged: Size = 0
    ids: tuple[AnswerId, ...] = ()
    days: Mapping[str, Size] = field(default_factory=dict)
    left_out: Mapping[str, Size] = field(default_factory=dict)
    damaged: Size = 0
    fault: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ids": list(self.ids)}

    @property
    def sha256(self) -> str:
        """Equal samples are the same texts; those of a log that could not be read are all alike, whenever that was."""
        return sha256_json({"fault": True} if self.fault else self.to_dict())


@dataclass(frozen=True, slots=True)
class _Text:
    """A distinct text that may be drawn, by the last answer to it."""

    task: str
    rank: str
    id: str
    day: str


def draw_sample(
    answers: Iterable[ServedAnswer],
    *,
    tasks: Mapping[str, Task],
    per_task: int,
    seed: int,
    since: datetime,
    until: datetime,
    known: Mapping[str, LeftOut],
    fits: Callable[[str], bool],
) -> TrafficSample:
    """At most `per_task` distinct texts of each task; one that was sent often counts once, with its last request.

    Who is drawn depends on the seed and the text alone, so that the samples of two nights are mostly the same, and so
    are their kept answers. known: beginning of a passage's hash, as `Example.meta` has it -> why it is left out.
    fits: whether inputs are short enough. One text is in memory at a time.
    """
    logged, left_out = 0, Counter[LeftOut]()
    found: dict[tuple[str, str], _Text] = {}
    seen: set[tuple[str, str]] = set()
    for answer in answers:
        logged += 1
        inputs = _inputs(answer, tasks)
        if isinstance(inputs, LeftOut):
            left_out[inputs] += 1
            continue
        key = passage_key(clean(answer.text))
        place = answer.task, key
        if place in seen:
            left_out[LeftOut.REPEATED] += 1
            if place in found:
                found[place] = replace(found[place], id=answer.id, day=answer.at[:10])
            continue
        seen.add(place)
        why = known.get(key[:16]) or (None if fits(inputs) else LeftOut.TOO_LONG)
        if why is not None:
            left_out[why] += 1
        else:
            found[place] = _Text(answer.task, sha256_json([seed, *place]), answer.id, answer.at[:10])
    ranked = sorted(found.values(), key=lambda text: text.rank)
    drawn = [text for name in tasks for text in [text for text in ranked if text.task == name][:per_task]]
    left_out[LeftOut.NOT_DRAWN] = len(found) - len(drawn)
    return TrafficSample(
        since=since.isoformat(),
        until=until.isoformat(),
        logged=logged,
        ids=tuple(text.id for text in drawn),
        days=dict(sorted(Counter(text.day for text in drawn).items())),
        left_out={why.value: left_out[why] for why in LeftOut if left_out[why]},
    )


def examples_of(answers: Iterable[ServedAnswer], sample: TrafficSample, tasks: Mapping[str, Task]) -> list[Example]:
    """The texts of a sample as examples without targets, in its order; those that the log has no longer are missing."""
    found: dict[str, Example] = {}
    wanted = frozenset(sample.ids)
    for answer in answers:
        inputs = _inputs(answer, tasks) if answer.id in wanted else LeftOut.NOT_DRAWN
        if not isinstance(inputs, LeftOut):
            uid = sha256_bytes(inputs.encode())[:20]
            found[answer.id] = Example(inputs, "", answer.task, uid, {"request": dict(answer.request)})
    return [found[name] for name in sample.ids if name in found]


def _inputs(answer: ServedAnswer, tasks: Mapping[str, Task]) -> str | LeftOut:
    """What the models are given for a logged text, or why they cannot be."""
    task = tasks.get(answer.task)
    if task is None:
        return LeftOut.UNKNOWN_TASK
    if not task.without_references().metrics:
        return LeftOut.NEEDS_REFERENCE
    try:
        return task.prompt(answer.text, task.complete(answer.request))
    except BadRequest:
        return LeftOut.BAD_REQUEST
