"""What a reader makes of the questions that models wrote: can they be used, and are their keys right?

With the passage, the reader should pick the key of a question; without it, it should not. One reader answers the
questions of all models, so that they can be compared, and the data set's own questions too, which shows how good the
reader is. What only guards, its answers without the passage, comes from a sample of the examples. The share of a
difficulty's questions that it gets wrong is the measured difficulty.
(Raina and Gales 2022, "Multiple-Choice Question Generation: Towards an Automated Assessment Framework")

    read = with_reader(tasks, examples, predictions, reader, per_task=None, seed=17)
    evaluate_models(predictions, examples, tasks=read.tasks, readings=read.readings, settings=read.settings, seed=17)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from mtl.evaluation.reader import Probabilities, Reader
from mtl.evaluation.report import QuestionReading, Readings
from mtl.evaluation.samples import sample_examples
from mtl.evaluation.usable import faults, picked, shares
from mtl.example import Example
from mtl.metrics.reading import READING_METRICS, usable_of
from mtl.task import Metric, ReadingQuestion, Scores, Task

SAMPLE = 50
"""Examples of each task whose questions are read without the passage too, and of which the data set's own questions
are read: their 100 or more questions show a share to within 0.1."""


@dataclass(frozen=True, slots=True)
class Read:
    """tasks: those that ask questions also score what the reader made of them.

    readings: (example, text) -> what the reader made of the questions in a text that it has read. settings: `reader`,
    who it was and how it did, for the report.
    """

    tasks: Mapping[str, Task]
    readings: Callable[[Example, str], Readings] = lambda example, text: ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def with_reader(
    tasks: Mapping[str, Task],
    examples: Sequence[Example],
    predictions: Mapping[str, Sequence[str]],
    reader: Reader,
    *,
    per_task: int | None,
    seed: int,
) -> Read:
    """Have the reader answer the questions of all models, in the order of `predictions`, and of the data set.

    per_task: at most so many examples of each task that asks questions, the same of every model, a function of `seed`
    and their uids; None for all. The rest have no score (None). An answer in which no question can be read has
    `usable` 0, and None for what only questions have.
    """
    asking = {name: task for name, task in tasks.items() if task.questions is not None}
    chosen = sample_examples((e for e in examples if e.task in asking), per_task=per_task, seed=seed)
    if not chosen:
        return Read(tasks)
    uids = {(example.task, example.uid) for example in chosen}
    sample = sample_examples(chosen, per_task=SAMPLE, seed=seed)
    sampled = {(example.task, example.uid) for example in sample}
    reference = [q for example in sample for q in _questions(asking[example.task], example, example.targets)]
    answers = _Reading(reader)
    answers.read(reference, [])
    for texts in predictions.values():
        written: dict[bool, list[ReadingQuestion]] = {True: [], False: []}  # by whether they are of the sample
        for example, text in zip(examples, texts, strict=True):
            if (place := (example.task, example.uid)) in uids:
                written[place in sampled] += _questions(asking[example.task], example, text)
        answers.read(written[True], written[False])

    def readings(example: Example, text: str) -> Readings:
        return _readings(asking[example.task], example, text, answers) if (example.task, example.uid) in uids else ()

    labels = {question.label for question in reference}
    extended = {name: _extended(task, labels, uids, readings) for name, task in asking.items()}
    note = _note(reader, reference, answers, examples=len(chosen))
    return Read(dict(tasks) | extended, readings, {"reader": note})


def _questions(task: Task, example: Example, text: str) -> list[ReadingQuestion]:
    assert task.questions is not None, "the caller looked"
    return task.questions(example, text)


class _Reading:
    """What the reader says of questions: the data set's, and then those of each model, which are read by themselves, so
    that the answers about a model's do not depend on those that come after it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._seen: dict[ReadingQuestion, Probabilities] = {}
        self._blind: dict[ReadingQuestion, Probabilities] = {}

    def read(self, sampled: Sequence[ReadingQuestion], others: Sequence[ReadingQuestion]) -> None:
        """Each distinct question is answered once with its passage; those that are sampled, once more without it."""
        for known, questions, passage in ((self._blind, sampled, False), (self._seen, [*sampled, *others], True)):
            new = [question for question in dict.fromkeys(questions) if question not in known]
            known |= zip(new, self._reader(new, passage=passage), strict=True)

    def __contains__(self, question: ReadingQuestion) -> bool:
        return question in self._seen

    def __getitem__(self, question: ReadingQuestion) -> tuple[Probabilities, Probabilities]:
        """The probabilities of its options with the passage, and without it, () if it was not read so."""
        return self._seen[question], self._blind.get(question, ())


def _readings(task: Task, example: Example, text: str, answers: _Reading) -> Readings:
    questions = _questions(task, example, text)
    if not all(question in answers for question in questions):  # of the data set's own, not all are read
        return ()
    picks = [picked(answers[question][0]) for question in questions]
    return tuple(
        QuestionReading(q.question, q.label, q.key, *answers[q], fault=None if fault is None else fault.value)
        for q, fault in zip(questions, faults(questions, picks, task.requested(example)), strict=True)
    )


def _extended(
    task: Task, labels: set[str], uids: set[tuple[str, str]], readings: Callable[[Example, str], Readings]
) -> Task:
    """The task with the reader's metrics before its own. labels: of the data set's own questions."""
    named = task.groups.ordered({*task.groups.names, *labels})
    measured = tuple(
        Metric(
            _measured(task, label),
            higher_is_better=None,
            source=f"share of the questions labelled {label} that the reader gets wrong with the passage",
            needs_reference=False,
        )
        for label in task.groups.ordered(labels)
    )
    metrics = (*READING_METRICS, *map(usable_of, named), *task.metrics, *measured)

    def score(example: Example, text: str) -> Scores:
        own = task.score(example, text)
        if (example.task, example.uid) not in uids:
            return own
        read = readings(example, text)
        wrong = {
            _measured(task, label): _share(not _seen(one) for one in read if one.label == label) for label in labels
        }
        return {**own, **shares(read, task.requested(example)), **_answerability(read), **wrong}

    return replace(task, metrics=metrics, score=score)


def _measured(task: Task, label: str) -> str:
    """Name of the metric of how hard a label is: `difficulty_Easy`."""
    return f"{task.groups.kind}_{label}"


def _answerability(readings: Readings) -> dict[str, float | None]:
    twice = [one for one in readings if one.without_passage]
    blind = _share(picked(one.without_passage) == one.key for one in twice)
    seen = _share(map(_seen, twice))
    gain = None if seen is None or blind is None else seen - blind
    return {"answerable": _share(map(_seen, readings)), "guessable": blind, "passage_gain": gain}


def _seen(reading: QuestionReading) -> bool:
    return picked(reading.with_passage) == reading.key


def _share(values: Iterable[bool]) -> float | None:
    found = [float(value) for value in values]
    return fmean(found) if found else None


def _note(reader: Reader, reference: Sequence[ReadingQuestion], answers: _Reading, *, examples: int) -> dict[str, Any]:
    """What the report says of the reader: its name, how much it read, and how it does on the data set's questions."""
    return {
        "name": reader.name,
        "examples": examples,
        "reference_questions": len(reference),
        "reference_with_passage": _share(picked(answers[question][0]) == question.key for question in reference),
        "reference_without_passage": _share(picked(answers[question][1]) == question.key for question in reference),
    }
