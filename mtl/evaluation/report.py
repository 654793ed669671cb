"""EvalReport: what was measured of which model, on what, and how sure the differences are.

`to_json` is the document of `mtl evaluate --json`; the scores of single examples are kept beside it as Parquet
(`mtl.evaluation.per_example`). `mtl.evaluation.score` makes reports, `mtl.promotion` judges them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mtl.task import Groups, Metric

BASE, CANDIDATE, CHAMPION = "base", "candidate", "champion"
BEST = "best"
"""The best earlier champion; `mtl.promotion` says what it is for."""
READER = "reader"
"""Who answers questions; in `origin` beside the models."""
MODELS = (BASE, BEST, CHAMPION, CANDIDATE)

Means = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class GroupResult:
    """Means over the `n` examples of one group. None: no example has a value; NaN: one of them is not finite."""

    n: int
    means: Means


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One model on one task; `groups` are those that Task.group names."""

    n: int
    means: Means
    groups: Mapping[str, GroupResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidate minus `against` on one metric, over the `n` examples where both have a value.

    `unpaired` counts the examples where just one of them has one. `group` is None for the whole task. The numbers are
    NaN where fewer than two pairs are left or a score is not finite. deviation: standard deviation of the differences
    of single examples. p_value: one-sided, of "the candidate is not better"; NaN where neither end is better. Reports
    from before there were these two have NaN.
    """

    against: str
    task: str
    group: str | None
    metric: str
    n: int
    unpaired: int
    difference: float
    low: float
    high: float
    deviation: float = math.nan
    p_value: float = math.nan


@dataclass(frozen=True, slots=True)
class QuestionReading:
    """What the reader made of one question. key: index of the option that the question says is right.

    with_passage, without_passage: the probability of each option, () if it was not read so.
    fault: why it cannot be used, None if it can.
    """

    question: str
    label: str
    key: int
    with_passage: tuple[float, ...]
    without_passage: tuple[float, ...]
    fault: str | None


Readings = tuple[QuestionReading, ...]
"""Of the questions of one text, in their order; empty where no reader read them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What each model wrote for one example.

    kind: worst, median, best (by `gain`, the candidate's over the champion or the base, -1..1) or random.
    readings: model, or `reference`, -> what the reader made of its questions.
    """

    task: str
    uid: str
    inputs: str
    reference: str
    predictions: Mapping[str, str]
    kind: str = "random"
    gain: float | None = None
    readings: Mapping[str, Readings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExampleScores:
    """Scores of one model on one example: what comparisons are made of."""

    model: str
    task: str
    uid: str
    groups: tuple[str, ...]
    prediction: str
    scores: Means
    readings: Readings = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """How many answers a model gave, and how many of them were taken from the store, where an earlier evaluation had
    kept them."""

    answers: int
    kept: int


@dataclass(frozen=True, slots=True)
class EvalReport:
    """results: model -> task -> means. `settings` says how texts were generated and examples were chosen.

    `seconds` is the time each model took; `confidence` that of all intervals. `groups` says of each task that has some
    what its groups are called, in reading order. `scores` holds every single example,
    models one after the other in the same order of examples; it is not part of the JSON. `origin` says of each model,
    and of the `reader`, where its answers came from; it and `seconds` are not what was measured (see `measured`).
    traffic: the same of logged texts, which have no references (`mtl.evaluation.traffic`); None where none were taken.
    """

    results: Mapping[str, Mapping[str, TaskResult]]
    metrics: Mapping[str, tuple[Metric, ...]]
    comparisons: tuple[Comparison, ...]
    samples: tuple[Sample, ...]
    confidence: float
    seconds: Mapping[str, float]
    settings: Mapping[str, Any]
    scores: tuple[ExampleScores, ...] = ()
    groups: Mapping[str, Groups] = field(default_factory=dict)
    origin: Mapping[str, Origin] = field(default_factory=dict)
    traffic: EvalReport | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models in reading order."""
        return tuple(name for name in MODELS if name in self.results)

    @property
    def examples(self) -> dict[str, int]:
        """Task -> number of examples, the same for all models."""
        return {task: result.n for results in self.results.values() for task, result in results.items()}

    @property
    def opponent(self) -> str:
        """What the candidate is compared with: the champion, or the base where there is no champion yet."""
        return CHAMPION if CHAMPION in self.results else BASE

    def mean(self, model: str, task: str, metric: str) -> float | None:
        """None where the model, the task, the metric or every value is missing."""
        result = self.results.get(model, {}).get(task)
        return None if result is None else result.means.get(metric)

    def metric(self, task: str, name: str) -> Metric | None:
        """What the task says about one of its metrics."""
        return next((metric for metric in self.metrics.get(task, ()) if metric.name == name), None)

    def group_names(self, task: str) -> list[str]:
        """The groups of a task that some example is in, in reading order."""
        names = {name for results in self.results.values() if task in results for name in results[task].groups}
        return self.groups.get(task, Groups()).ordered(names)

    def comparison(self, against: str, task: str, metric: str, *, group: str | None = None) -> Comparison | None:
        """Candidate against `against`, or None where they were not compared on that."""
        wanted = (against, task, group, metric)
        return next((c for c in self.comparisons if (c.against, c.task, c.group, c.metric) == wanted), None)

    def flat(self, model: str) -> dict[str, float]:
        """`task/metric` and `task/group/metric` -> mean, finite ones only: the form of a tracker's metrics."""
        found = {}
        for path, value in _values({model: self.results.get(model, {})}):
            if value is not None and math.isfinite(value):
                found["/".join(path[1:])] = value
        return found

    def to_json(self) -> dict[str, Any]:
        """The document: one key a model, and `examples`, `seconds` beside them. null stands for None and NaN; those
        that are NaN or infinite are listed in `not_finite` by their path.
        """
        document: dict[str, Any] = {model: _model_json(self.results[model]) for model in self.models}
        return document | {
            "models": list(self.models),
            "examples": self.examples,
            "seconds": round(sum(self.seconds.values()), 3),
            "seconds_by_model": dict(self.seconds),
            "confidence": self.confidence,
            "not_finite": ["/".join(path) for path, value in _values(self.results) if _not_finite(value)],
            "comparisons": [_comparison_json(comparison) for comparison in self.comparisons],
            "metrics": {task: [asdict(metric) for metric in metrics] for task, metrics in self.metrics.items()},
            "groups": {task: {"kind": its.kind, "names": list(its.names)} for task, its in self.groups.items()},
            "samples": [_sample_json(sample) for sample in self.samples],
            "settings": dict(self.settings),
            "origin": {name: asdict(origin) for name, origin in self.origin.items()},
            "traffic": None if self.traffic is None else self.traffic.to_json(),
        }

    def measured(self) -> dict[str, Any]:
        """The document without what may differ between two evaluations of the same: how long each model took, and which
        answers were kept."""
        document = self.to_json() | {"traffic": None if self.traffic is None else self.traffic.measured()}
        return {name: value for name, value in document.items() if name not in _CIRCUMSTANCES}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EvalReport:
        """The report of a document; without the scores of single examples.

        The keys of a kept document are sorted. Its lists have the order of tasks and metrics, which is restored.
        """
        described = _in_order(document["metrics"], (item["task"] for item in document["comparisons"]))
        metrics = {task: tuple(Metric(**metric) for metric in its) for task, its in described.items()}
        return cls(
            results={model: _model_of(document, model, metrics) for model in document["models"]},
            metrics=metrics,
            comparisons=tuple(_comparison_of(item) for item in document["comparisons"]),
            samples=tuple(_sample_of(item) for item in document["samples"]),
            confidence=document["confidence"],
            seconds=document["seconds_by_model"],
            settings=document["settings"],
            groups={task: Groups(its["kind"], tuple(its["names"])) for task, its in document.get("groups", {}).items()},
            origin={name: Origin(**its) for name, its in document.get("origin", {}).items()},
            traffic=None if document.get("traffic") is None else cls.from_json(document["traffic"]),
        )


_NUMBERS = ("difference", "low", "high", "deviation", "p_value")
_SIDES = ("with_passage", "without_passage")
_BY_GROUP = "by_difficulty"
_CIRCUMSTANCES = ("seconds", "seconds_by_model", "origin")


def _not_finite(value: float | None) -> bool:
    return value is not None and not math.isfinite(value)


def _null(value: float | None) -> float | None:
    return None if _not_finite(value) else value


def _values(results: Mapping[str, Mapping[str, TaskResult]]) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """((model, task[, group], metric), mean) of everything."""
    for model, tasks in results.items():
        for task, result in tasks.items():
            for metric, value in result.means.items():
                yield (model, task, metric), value
            for group, inner in result.groups.items():
                for metric, value in inner.means.items():
                    yield (model, task, group, metric), value


def _model_json(tasks: Mapping[str, TaskResult]) -> dict[str, Any]:
    document: dict[str, Any] = {task: _means_json(result.means) for task, result in tasks.items()}
    document[_BY_GROUP] = {
        task: {group: {"n": inner.n, **_means_json(inner.means)} for group, inner in result.groups.items()}
        for task, result in tasks.items()
        if result.groups
    }
    return document


def _means_json(means: Means) -> dict[str, float | None]:
    return {metric: _null(value) for metric, value in means.items()}


def _in_order(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The values, those of `names` first."""
    return {name: values[name] for name in dict.fromkeys((*names, *values)) if name in values}


def _model_of(
    document: Mapping[str, Any], model: str, metrics: Mapping[str, Sequence[Metric]]
) -> dict[str, TaskResult]:
    bad = frozenset(document["not_finite"])
    tasks = {task: values for task, values in _in_order(document[model], metrics).items() if task != _BY_GROUP}

    def means(values: Mapping[str, Any], task: str, *group: str) -> dict[str, float | None]:
        return {
            name: math.nan if "/".join((model, task, *group, name)) in bad else value
            for name, value in _in_order(values, (metric.name for metric in metrics.get(task, ()))).items()
            if name != "n"
        }

    return {
        task: TaskResult(
            n=document["examples"][task],
            means=means(values, task),
            groups={
                group: GroupResult(inner["n"], means(inner, task, group))
                for group, inner in document[model][_BY_GROUP].get(task, {}).items()
            },
        )
        for task, values in tasks.items()
    }


def _sample_json(sample: Sample) -> dict[str, Any]:
    read = {name: [_reading_json(one) for one in readings] for name, readings in sample.readings.items()}
    return asdict(sample) | {"readings": read}


def _sample_of(document: Mapping[str, Any]) -> Sample:
    read = document.get("readings", {})
    readings = {name: tuple(_reading_of(item) for item in items) for name, items in read.items()}
    return Sample(**{**document, "readings": readings})


def _reading_json(reading: QuestionReading) -> dict[str, Any]:
    return asdict(reading) | {side: [_null(value) for value in getattr(reading, side)] for side in _SIDES}


def _reading_of(document: Mapping[str, Any]) -> QuestionReading:
    sides = {side: tuple(math.nan if value is None else value for value in document[side]) for side in _SIDES}
    return QuestionReading(**{**document, **sides})


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    document = asdict(comparison)
    return document | {name: _null(document[name]) for name in _NUMBERS}


def _comparison_of(document: Mapping[str, Any]) -> Comparison:
    numbers = {name: math.nan if document.get(name) is None else document[name] for name in _NUMBERS}
    return Comparison(**{**document, **numbers})
