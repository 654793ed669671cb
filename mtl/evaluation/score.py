"""From what models wrote to an EvalReport: scores of each example, means, paired intervals, samples side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mtl.errors import did_you_mean
from mtl.evaluation.bootstrap import Interval, paired_intervals
from mtl.evaluation.report import (
    BASE,
    BEST,
    CANDIDATE,
    CHAMPION,
    MODELS,
    Comparison,
    EvalReport,
    ExampleScores,
    GroupResult,
    Means,
    Origin,
    Readings,
    TaskResult,
)
from mtl.evaluation.samples import pick_samples
from mtl.example import Example
from mtl.metrics.task_metric import TaskMetric, aggregate, references
from mtl.task import Groups, Task


def evaluate_models(
    predictions: Mapping[str, Sequence[str]],
    examples: Sequence[Example],
    *,
    tasks: Mapping[str, Task],
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
    samples_per_task: int = 6,
    seconds: Mapping[str, float] | None = None,
    settings: Mapping[str, Any] | None = None,
    readings: Callable[[Example, str], Readings] = lambda example, text: (),
    origin: Mapping[str, Origin] | None = None,
) -> EvalReport:
    """The report of models (see `MODELS`) that each answered all of `examples`, in their order.

    The candidate is compared with the base and, where they are there, with the champion and the best earlier one.
    `seconds` (model -> time of generation), `settings`, `origin` are kept as they are; `seed` draws resamples, samples.
    readings: (example, text) -> what a reader made of the questions in a text, see `with_reader`.
    """
    _check(predictions, examples, tasks)
    scores = {
        model: _score(model, texts, examples=examples, tasks=tasks, readings=readings)
        for model, texts in predictions.items()
    }
    present = [name for name in tasks if any(example.task == name for example in examples)]
    return EvalReport(
        results={model: {task: _task_result(rows, tasks[task]) for task in present} for model, rows in scores.items()},
        metrics={task: tasks[task].metrics for task in present},
        comparisons=tuple(
            comparison
            for against in (CHAMPION, BEST, BASE)
            if against in scores and CANDIDATE in scores
            for task in present
            for comparison in compare(
                scores[CANDIDATE],
                scores[against],
                task=tasks[task],
                seed=seed,
                confidence=confidence,
                resamples=resamples,
            )
        ),
        samples=pick_samples(
            predictions, examples, scores, tasks=tasks, seed=seed, per_task=samples_per_task, readings=readings
        ),
        confidence=confidence,
        seconds=dict(seconds or {}),
        settings=dict(settings or {}) | {"seed": seed, "resamples": resamples},
        scores=tuple(row for model in MODELS for row in scores.get(model, ())),
        groups={task: tasks[task].groups for task in present if tasks[task].groups != Groups()},
        origin=dict(origin or {}),
    )


def compare(
    candidate: Sequence[ExampleScores],
    other: Sequence[ExampleScores],
    *,
    task: Task,
    seed: int,
    confidence: float,
    resamples: int,
) -> list[Comparison]:
    """One Comparison a metric, of the whole task and then of each group. Rows of both are aligned by example."""
    pairs = [(ours, theirs) for ours, theirs in zip(candidate, other, strict=True) if ours.task == task.name]
    if any(ours.uid != theirs.uid for ours, theirs in pairs):
        raise ValueError(f"{task.name}: the two models' scores are not of the same examples in the same order")
    names = [metric.name for metric in task.metrics]
    better = [metric.higher_is_better for metric in task.metrics]
    found = []
    for group in (None, *_groups(ours for ours, _ in pairs)):
        chosen = [(ours, theirs) for ours, theirs in pairs if group is None or group in ours.groups]
        first, second = (_matrix([pair[side].scores for pair in chosen], names) for side in (0, 1))
        intervals = _intervals(first, second, seed=seed, confidence=confidence, resamples=resamples)
        unpaired = (np.isnan(first) != np.isnan(second)).sum(axis=0)
        found += [
            Comparison(
                against=chosen[0][1].model,
                task=task.name,
                group=group,
                metric=name,
                n=interval.n,
                unpaired=int(unpaired[column]),
                difference=interval.difference,
                low=interval.low,
                high=interval.high,
                deviation=interval.deviation,
                p_value={True: interval.not_above, False: interval.not_below, None: math.nan}[better[column]],
            )
            for column, (name, interval) in enumerate(zip(names, intervals, strict=True))
        ]
    return found


def _check(predictions: Mapping[str, Sequence[str]], examples: Sequence[Example], tasks: Mapping[str, Task]) -> None:
    for model, texts in predictions.items():
        if model not in MODELS:
            raise ValueError(f"a report has no model {model!r}; {did_you_mean(model, MODELS)}")
        if len(texts) != len(examples):
            raise ValueError(f"{model} wrote {len(texts)} texts for {len(examples)} examples")
    for name in {example.task for example in examples}:
        if name not in tasks:
            raise ValueError(f"examples of an unknown task {name!r}; {did_you_mean(name, tasks)}")


def _score(
    model: str,
    texts: Sequence[str],
    *,
    examples: Sequence[Example],
    tasks: Mapping[str, Task],
    readings: Callable[[Example, str], Readings],
) -> list[ExampleScores]:
    """Rows in the order of the examples; the scores of each task come out of one call."""
    scores: list[Means] = [{}] * len(examples)
    for name in dict.fromkeys(example.task for example in examples):
        own = [index for index, example in enumerate(examples) if example.task == name]
        values: Mapping[str, Sequence[float | None]] = TaskMetric(tasks[name]).compute(
            predictions=[texts[index] for index in own],
            references=references(examples[index] for index in own),
            use_aggregator=False,
        )
        for place, index in enumerate(own):
            scores[index] = {metric: column[place] for metric, column in values.items()}
    return [
        ExampleScores(
            model=model,
            task=example.task,
            uid=example.uid,
            groups=tuple(tasks[example.task].group(example)),
            prediction=text,
            scores=row,
            readings=readings(example, text),
        )
        for example, text, row in zip(examples, texts, scores, strict=True)
    ]


def _groups(rows: Iterable[ExampleScores]) -> list[str]:
    """Names of groups in order of their first example."""
    return list(dict.fromkeys(group for row in rows for group in row.groups))


def _task_result(rows: Sequence[ExampleScores], task: Task) -> TaskResult:
    own = [row for row in rows if row.task == task.name]
    members = {group: [row for row in own if group in row.groups] for group in sorted(_groups(own))}
    return TaskResult(
        n=len(own),
        means=_means(own, task),
        groups={group: GroupResult(len(inner), _means(inner, task)) for group, inner in members.items()},
    )


def _means(rows: Sequence[ExampleScores], task: Task) -> dict[str, float | None]:
    return {metric.name: aggregate([row.scores[metric.name] for row in rows]) for metric in task.metrics}


def _matrix(scores: Sequence[Means], names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """examples x metrics; NaN for None, and inf for what is not finite, so that the two stay apart."""

    def cell(value: float | None) -> float:
        return math.nan if value is None else value if math.isfinite(value) else math.inf

    return np.array([[cell(row[name]) for name in names] for row in scores], dtype=np.float64)


def _intervals(
    first: np.ndarray[Any, np.dtype[np.float64]],
    second: np.ndarray[Any, np.dtype[np.float64]],
    *,
    seed: int,
    confidence: float,
    resamples: int,
) -> list[Interval]:
    broken = np.isinf(first).any(axis=0) | np.isinf(second).any(axis=0)
    differences = np.where(broken, np.nan, np.where(broken, 0.0, first) - np.where(broken, 0.0, second))
    return paired_intervals(differences, seed=seed, confidence=confidence, resamples=resamples)
