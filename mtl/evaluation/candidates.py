"""Ask for more answers than one, and keep the questions that a reader confirms.

K answers are drawn for each text. A question of any of them counts if it has no fault (`mtl.evaluation.usable`): the
reader, given the passage, picks its key. Those of the greedy answer, which come first, are composed into one answer
that obeys the request, and its gaps are filled with the questions whose keys the reader holds likeliest. A question
that could not be found is missing; an unchecked one never takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mtl.evaluation.reader import Probabilities, Reader
from mtl.evaluation.usable import faults, picked
from mtl.example import Example
from mtl.metrics.text import normalise
from mtl.task import ReadingQuestion, Task


class Drawer(Protocol):
    """Anything that draws several answers to each input."""

    def __call__(self, inputs: Sequence[str], count: int, *, max_new_tokens: int) -> list[list[str]]:
        """`count` texts for each input, in the order of the inputs, the greedy one first; the same texts every time."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """A question, and the reader's probability of its key."""

    question: ReadingQuestion
    probability: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The answer that was composed for one input.

    text: in the written form of the task's targets. missing: label -> number of questions that no candidate had.
    """

    text: str
    questions: tuple[Checked, ...]
    missing: Mapping[str, int] = field(default_factory=dict)

    def output(self, task: Task) -> list[dict[str, Any]]:
        """The task's own form of the questions, each with `checked` and the reader's `probability` of its key."""
        read = task.parse(self.text) or [] if self.questions else []
        return [
            {**item, "checked": True, "probability": round(checked.probability, 4)}
            for item, checked in zip(read, self.questions, strict=True)
        ]


def can_choose(task: Task) -> bool:
    """Whether answers of the task consist of questions, which can be checked and composed."""
    return task.questions is not None and task.compose is not None


class Chooser:
    """Draws candidates and keeps the best questions; for a task of which `can_choose` is true."""

    def __init__(self, draw: Drawer, reader: Reader) -> None:
        self._draw, self.reader = draw, reader

    def __call__(self, task: Task, inputs: Sequence[str], *, candidates: int, max_new_tokens: int) -> list[Chosen]:
        """One answer for each input, composed of so many candidates, in the order of the inputs."""
        assert task.questions is not None and task.compose is not None, "the caller looked"
        drawn = self._draw(inputs, candidates, max_new_tokens=max_new_tokens)
        examples = [Example(text, "", task.name, "") for text in inputs]
        found = [
            [task.questions(example, text) for text in texts] for example, texts in zip(examples, drawn, strict=True)
        ]
        distinct = list(dict.fromkeys(question for answers in found for answer in answers for question in answer))
        read = dict(zip(distinct, self.reader(distinct, passage=True), strict=True))
        return [
            compose(task, choose(answers, read, requested), requested)
            for answers, requested in zip(found, map(task.requested, examples), strict=True)
        ]


def choose(
    answers: Sequence[Sequence[ReadingQuestion]],
    probabilities: Mapping[ReadingQuestion, Probabilities],
    requested: Mapping[str, int],
) -> list[Checked]:
    """The best questions that together obey the request, in the order of `requested`.

    answers: the questions of each candidate, the greedy one first. Its questions go before those of the others, which
    fill its gaps, likeliest key first: what is sampled is less often a question that is worth asking. probabilities:
    the reader's, for the options of each question.
    """
    good = [
        (number > 0, Checked(question, probabilities[question][question.key]))
        for number, answer in enumerate(answers)
        for question in answer
        if faults([question], [picked(probabilities[question])], requested) == [None]
    ]
    room = dict(requested)
    asked: set[str] = set()
    chosen = []
    for _, checked in sorted(good, key=lambda pair: (pair[0], -pair[1].probability)):
        text, label = normalise(checked.question.question), checked.question.label
        if room[label] and text not in asked:
            room[label] -= 1
            asked.add(text)
            chosen.append(checked)
    return [checked for label in requested for checked in chosen if checked.question.label == label]


def compose(task: Task, chosen: Sequence[Checked], requested: Mapping[str, int]) -> Chosen:
    """The answer with the chosen questions, and what it lacks."""
    assert task.compose is not None, "the caller looked"
    delivered = [checked.question.label for checked in chosen]
    lacking = {label: count - delivered.count(label) for label, count in requested.items()}
    return Chosen(
        text=task.compose([checked.question for checked in chosen]),
        questions=tuple(chosen),
        missing={label.lower(): count for label, count in lacking.items() if count},
    )
