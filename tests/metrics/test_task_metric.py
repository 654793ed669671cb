"""The scores of a report through `evaluate`: the values of the task itself, with no network and no files."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import evaluate
import pytest

from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.metrics.task_metric import TaskMetric, aggregate, references
from mtl.sources.demo.corpus import articles, passages
from mtl.task import Metric, RenderOptions
from mtl.tasks.table import TASKS, get_task
from tests.support.toy_task import toy_task

SHORT = {"scheme": "overlap-1", "requests": {"subset": 1.0}, "requests_per_passage": 1, "evaluation_requests": "mixed"}


def real(name: str, count: int = 12) -> tuple[list[Example], list[str]]:
    """Examples of the demo corpus, and answers: right, another's, of no form, and none."""
    task = get_task(name)
    sources: dict[str, Callable[[int, int], Iterable[dict[str, Any]]]] = {"summarize": articles, "mcq": passages}
    options = RenderOptions(
        seed=1, training=False, instruction_dropout=0.0, max_target_tokens=10_000, count=len, options=SHORT
    )
    joined: dict[str, list[Any]] = {}
    for row in sources[name](3, count):
        record = task.read(row)
        joined.setdefault(task.passage(record), []).append(record)
    examples = [task.render(task.join(records)[0], options).examples[0] for records in joined.values()]
    targets = [example.targets for example in examples]
    answers = [[target, targets[n - 1], target.partition(" ")[2], ""][n % 4] for n, target in enumerate(targets)]
    return examples, answers


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No network, and a cache of `evaluate` that must stay empty."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path / "cache")
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_value_is_the_tasks_own_to_the_last_bit(name: str, alone: Path) -> None:
    task = get_task(name)
    examples, answers = real(name)
    values = TaskMetric(task).compute(predictions=answers, references=references(examples), use_aggregator=False)
    own = [task.score(example, answer) for example, answer in zip(examples, answers, strict=True)]
    assert values == {metric.name: [scores[metric.name] for scores in own] for metric in task.metrics}
    assert any(value not in (0.0, 1.0, None) for column in values.values() for value in column)
    report = evaluate_models({"base": answers}, examples, tasks={name: task}, seed=1)
    assert [dict(row.scores) for row in report.scores] == [dict(scores) for scores in own]
    means = TaskMetric(task).compute(predictions=answers, references=references(examples))
    assert means == report.results["base"][name].means


def test_it_adds_up_over_batches_as_modules_of_evaluate_do(alone: Path) -> None:
    metric = TaskMetric(get_task("summarize"))
    examples, answers = real("summarize", 2)
    given = references(examples)
    metric.add_batch(predictions=answers[:1], references=given[:1])
    metric.add(prediction=answers[1], reference=given[1])
    together = TaskMetric(get_task("summarize")).compute(predictions=answers, references=given)
    assert metric.compute() == together


def test_a_score_that_no_metric_describes_is_refused() -> None:
    example = Example("", "", "toy", "u", {"group": 1})
    with pytest.raises(ValueError, match=r"task toy scores \['other'\], which its metrics do not describe"):
        TaskMetric(toy_task("toy", (Metric("score"),))).compute(
            predictions=["{'other': 1.0}"], references=references([example])
        )


def test_what_is_missing_counts_for_nothing_and_what_is_not_finite_for_all() -> None:
    assert aggregate([None, 0.5, 1.0]) == 0.75
    assert aggregate([None, None]) is None
    assert math.isnan(aggregate([0.5, math.inf]) or 0.0)
