"""Can a reader answer the questions that a model wrote? With the passage it should pick the key, without it not.

One reader answers the questions of all models, so that they compare, and the reference questions too, which says how
far the reader itself is to be believed. What it gets wrong is the measured difficulty of a label.
(Raina and Gales 2022, "Multiple-Choice Question Generation: Towards an Automated Assessment Framework")

    tasks, note = with_reader(tasks, examples, predictions, reader, per_task=100, seed=17)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from mtl.evaluation.reader import Reader, picked
from mtl.evaluation.samples import sample_examples
from mtl.example import Example
from mtl.task import Metric, ReadingQuestion, Scores, Task

METRICS = (
    Metric("answerable", source="share of questions whose key the reader picks; chance 0.25 (Raina and Gales 2022)"),
    Metric(
        "guessable",
        higher_is_better=False,
        source="the same without the passage (Liusie, Raina and Gales 2023, world knowledge in reading comprehension)",
    ),
    Metric("passage_gain", low=-1.0, source="answerable - guessable: what the passage is needed for"),
)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Whether the reader picked the key of a question with its passage, and without it."""

    seen: bool
    blind: bool


Readings = Mapping[ReadingQuestion, _Reading]


def with_reader(
    tasks: Mapping[str, Task],
    examples: Sequence[Example],
    predictions: Mapping[str, Sequence[str]],
    reader: Reader,
    *,
    per_task: int,
    seed: int,
) -> tuple[dict[str, Task], dict[str, Any]]:
    """(tasks that also score what the reader made of their questions, what is to be said of the reader).

    Of each task that asks questions, at most `per_task` examples are read, the same of every model; a function of
    `seed` and their uids. The rest have no score (None), and neither has an answer without a question.
    """
    asking = {name: task for name, task in tasks.items() if task.questions is not None}
    chosen = sample_examples((e for e in examples if e.task in asking), per_task=per_task, seed=seed)
    if not chosen:
        return dict(tasks), {}
    uids = {example.uid for example in chosen}
    written = [
        question
        for texts in predictions.values()
        for example, text in zip(examples, texts, strict=True)
        if example.uid in uids and example.task in asking
        for question in _questions(asking[example.task], example, text)
    ]
    reference = [q for example in chosen for q in _questions(asking[example.task], example, example.targets)]
    readings = _read(reader, [*reference, *written])
    labels = {question.label for question in reference}
    extended = {name: _extended(task, task.groups.ordered(labels), uids, readings) for name, task in asking.items()}
    return dict(tasks) | extended, _note(reader, reference, readings, examples=len(chosen))


def _questions(task: Task, example: Example, text: str) -> list[ReadingQuestion]:
    assert task.questions is not None, "the caller looked"
    return task.questions(example, text)


def _read(reader: Reader, questions: Sequence[ReadingQuestion]) -> dict[ReadingQuestion, _Reading]:
    """Each distinct question is answered once with its passage and once without."""
    distinct = list(dict.fromkeys(questions))
    seen, blind = (reader(distinct, passage=passage) for passage in (True, False))
    return {
        question: _Reading(picked(first) == question.key, picked(second) == question.key)
        for question, first, second in zip(distinct, seen, blind, strict=True)
    }


def _extended(task: Task, labels: Sequence[str], uids: set[str], readings: Readings) -> Task:
    measured = tuple(
        Metric(
            _measured(task, label),
            higher_is_better=None,
            source=f"share of the questions labelled {label} that the reader gets wrong with the passage",
        )
        for label in labels
    )
    return replace(task, metrics=(*task.metrics, *METRICS, *measured), score=_scorer(task, labels, uids, readings))


def _scorer(task: Task, labels: Sequence[str], uids: set[str], readings: Readings) -> Callable[[Example, str], Scores]:
    def score(example: Example, text: str) -> Scores:
        questions = _questions(task, example, text) if example.uid in uids else []
        return {**task.score(example, text), **_scores(task, questions, labels, readings)}

    return score


def _measured(task: Task, label: str) -> str:
    """Name of the metric of how hard a label is: `difficulty_Easy`."""
    return f"{task.groups.kind}_{label}"


def _scores(
    task: Task, questions: Sequence[ReadingQuestion], labels: Sequence[str], readings: Readings
) -> dict[str, float | None]:
    seen = _share(readings[question].seen for question in questions)
    blind = _share(readings[question].blind for question in questions)
    wrong = {
        _measured(task, label): _share(not readings[question].seen for question in questions if question.label == label)
        for label in labels
    }
    gain = None if seen is None or blind is None else seen - blind
    return {"answerable": seen, "guessable": blind, "passage_gain": gain, **wrong}


def _share(values: Any) -> float | None:
    found = [float(value) for value in values]
    return fmean(found) if found else None


def _note(reader: Reader, reference: Sequence[ReadingQuestion], readings: Readings, *, examples: int) -> dict[str, Any]:
    """What the report says of the reader: who it is, how much it read, and how it does on the data set's questions."""
    return {
        "name": reader.name,
        "examples": examples,
        "reference_questions": len(reference),
        "reference_with_passage": _share(readings[question].seen for question in reference),
        "reference_without_passage": _share(readings[question].blind for question in reference),
    }
