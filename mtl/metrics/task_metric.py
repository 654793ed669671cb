"""A task's metrics as a module of `evaluate`, with no network: every score of a report comes out of `compute`.

    metric = TaskMetric(get_task("summarize"))
    given = {"predictions": texts, "references": references(examples)}
    metric.compute(**given)                         {"rouge1": 0.41, ...}
    metric.compute(**given, use_aggregator=False)   {"rouge1": [0.5, 0.32, ...], ...}

A module takes all texts of a task at once, because `evaluate` writes what it is given as Arrow and reads it back: that
costs milliseconds a call, and next to nothing a text. It is kept in memory; no file and no folder is made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import datasets
import evaluate

from mtl.example import Example
from mtl.task import Scores, Task

Values = list[float | None]
"""A score for each text; None where the metric does not apply."""

_TEXT = datasets.Value("string")


class TaskMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """The metrics of `task` under their names, by its `score`. Errors: ValueError for a score that no metric describes.

    predictions: what a model wrote. references: the examples, as `references` gives them. use_aggregator: means, as
    `aggregate` makes them; False: the list of all values.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        super().__init__(keep_in_memory=True, seed=0)  # evaluate's own default seed reads numpy's global state

    def _info(self) -> evaluate.MetricInfo:
        metrics = self._task.metrics
        return evaluate.MetricInfo(
            description=f"Scores of task {self._task.name}, version {self._task.version}.",
            citation="; ".join(dict.fromkeys(metric.source for metric in metrics if metric.source)),
            inputs_description="predictions: list of str; references: list of examples, one for each prediction.",
            features=datasets.Features(
                {
                    "predictions": _TEXT,
                    "references": {"inputs": _TEXT, "targets": _TEXT, "uid": _TEXT, "meta": _TEXT},
                }
            ),
        )

    def _build_data_dir(self) -> str:
        return ""  # evaluate would make a folder in its cache, which nothing is ever written to

    def _compute(
        self, predictions: list[str], references: list[dict[str, str]], use_aggregator: bool = True
    ) -> dict[str, Any]:
        rows = [self._scores(*pair) for pair in zip(predictions, references, strict=True)]
        values = {metric.name: [row.get(metric.name) for row in rows] for metric in self._task.metrics}
        return {name: aggregate(column) for name, column in values.items()} if use_aggregator else values

    def _scores(self, prediction: str, reference: dict[str, str]) -> Scores:
        task = self._task
        example = Example(
            reference["inputs"], reference["targets"], task.name, reference["uid"], json.loads(reference["meta"])
        )
        scores = task.score(example, prediction)
        if unknown := scores.keys() - {metric.name for metric in task.metrics}:
            raise ValueError(f"task {task.name} scores {sorted(unknown)}, which its metrics do not describe")
        return scores


def references(examples: Iterable[Example]) -> list[dict[str, str]]:
    """The examples in the form that `evaluate` keeps."""
    return [
        {
            "inputs": example.inputs,
            "targets": example.targets,
            "uid": example.uid,
            "meta": json.dumps(dict(example.meta)),
        }
        for example in examples
    ]


def aggregate(values: Sequence[float | None]) -> float | None:
    """Mean of the values that are not None; None where all are, NaN where one is not finite, whatever its sign."""
    found = [value for value in values if value is not None]
    if not found:
        return None
    return math.fsum(found) / len(found) if all(map(math.isfinite, found)) else math.nan
