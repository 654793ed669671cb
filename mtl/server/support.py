"""What in a text supports an answer, for whoever judges the answer. Without a model; words are compared by their stems.

>>> passage = "Ann is a baker. She lives in Rome."
>>> nearest_sentence(passage.split(". "), "Where does Ann live?", "in Rome")
'She lives in Rome.'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mtl.evaluation.parts import split_at
from mtl.example import Example
from mtl.task import Task
from mtl.tasks.difficulty import SENTENCE, evidence, reading


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
    sentences = SENTENCE.split(questions[0].passage) if questions else []
    return Support(tuple(nearest_sentence(sentences, its.question, its.options[its.key]) for its in questions))


def nearest_sentence(sentences: Sequence[str], question: str, key: str) -> str | None:
    """The sentence with most of the key's content words; of several, the one with most of the question's."""
    found = [(evidence(reading(sentence), key), sentence) for sentence in sentences]
    best = max((share for share, _ in found), default=0.0)
    if best == 0:
        return None
    return max((sentence for share, sentence in found if share == best), key=lambda it: evidence(reading(it), question))
