"""Marks: how probable the base finds the keys of an answer's questions, and whether the answer can be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtl.evaluation.reader import Reader
from mtl.evaluation.usable import faults, picked, usable
from mtl.example import Example
from mtl.serving.generate import Answer, Prompt
from mtl.task import Task
from mtl.tasks.table import get_task


@dataclass(frozen=True, slots=True)
class Marked:
    """An answer and what is known of its quality.

    marks: for each question, the reader's probability of its key; None if they were not read. usable: whether it is
    of the task's form and delivers all that was requested in questions without a fault (`mtl.evaluation.usable`);
    None if the questions were not read.
    """

    answer: Answer
    marks: tuple[float, ...] | None = None
    usable: bool | None = None


def looked_at(task: str, answer: Answer) -> Marked:
    """What the answer says itself, without a reader. Candidates were read when they were chosen."""
    if answer.missing is not None:
        marks = tuple(item["probability"] for item in answer.output)
        return Marked(answer, marks, not answer.missing)
    if answer.output is None:
        return Marked(answer, usable=False)
    return Marked(answer, usable=None if get_task(task).questions else True)


def read(reader: Reader, name: str, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> list[Marked]:
    """The answers to `prompts` of a task with questions, with their marks."""
    task = get_task(name)
    assert task.questions is not None, "the caller looked"
    examples = [Example(prompt.inputs, "", name, "") for prompt in prompts]
    found = [
        task.questions(example, answer.text) if answer.output is not None else []
        for example, answer in zip(examples, answers, strict=True)
    ]
    distinct = list(dict.fromkeys(question for questions in found for question in questions))
    known = dict(zip(distinct, reader(distinct, passage=True), strict=True))
    marked = []
    for example, answer, questions in zip(examples, answers, found, strict=True):
        requested = task.requested(example)
        faulty = faults(questions, [picked(known[question]) for question in questions], requested)
        whole = answer.output is not None and usable(questions, faulty, requested) == sum(requested.values())
        marks = tuple(round(known[question][question.key], 4) for question in questions)
        marked.append(Marked(answer, None if answer.output is None else marks, whole))
    return marked


def can_mark(task: Task) -> bool:
    """Whether answers of the task hold questions."""
    return task.questions is not None
