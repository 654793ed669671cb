"""What in a text supports an answer, for whoever judges it. Without a model; words are compared by their stems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtl.evaluation.parts import split_at
from mtl.example import Example
from mtl.task import Task
from mtl.tasks.difficulty import SENTENCE, Reading, evidence, reading

_MOST_PAIRS = 100_000
"""Of a question and a sentence, that are compared in a second; the end of a longer text is not looked at."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an answer. supported: False for a name, number or date that the text does not have."""

    text: str
    supported: bool


@dataclass(frozen=True, slots=True)
class Support:
    """sentences: for each question of the answer, the sentence nearest to its key; None if none has a word of it.

    parts: of an answer without questions, all of it in order.
    """

    sentences: tuple[str | None, ...] = ()
    parts: tuple[Part, ...] = ()


def support(task: Task, text: str, answer: str) -> Support:
    """answer: of questions, as the model wrote it; else as it is shown. Errors: BadRequest for a text that the task
    does not take."""
    inputs = task.prompt(text, task.complete({}))
    if task.questions is None:
        parts = split_at(answer, task.unsupported(inputs, answer))
        return Support(parts=tuple(Part(part, not marked) for part, marked in parts))
    questions = task.questions(Example(inputs, "", task.name, ""), answer)
    if not questions:
        return Support()
    sentences = SENTENCE.split(questions[0].passage)[: _MOST_PAIRS // len(questions)]
    prepared = [(sentence, reading(sentence)) for sentence in sentences]
    return Support(tuple(_nearest(prepared, its.question, its.options[its.key]) for its in questions))


def _nearest(sentences: Sequence[tuple[str, Reading]], question: str, key: str) -> str | None:
    """The sentence with most of the key's content words; of several, the one with most of the question's."""
    shares = [evidence(prepared, key) for _, prepared in sentences]
    best = max(shares, default=0.0)
    if best == 0:
        return None
    nearest = [it for it, share in zip(sentences, shares, strict=True) if share == best]
    return max(nearest, key=lambda it: evidence(it[1], question))[0]
