"""When a candidate becomes champion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from mtl.config.section import Section
from mtl.errors import did_you_mean
from mtl.metrics.reading import READING_METRICS, usable_of
from mtl.task import GateDefaults, Metric, Task
from mtl.tasks.table import TASKS

RENAMED = {
    "tolerance": "margins, which gives each metric a number of its own: "
    "gate: {margins: {summarize: {rougeLsum: 0.01}, mcq: {usable: 0.05}}}"
}
"""Former name of a field -> what it is called now."""

Margin = Annotated[float, Field(ge=0)]


def _as_tasks_say(part: Callable[[GateDefaults], Any]) -> dict[str, Any]:
    """task -> what its gate defaults say, for those that say anything."""
    return {name: said for name, task in TASKS.items() if (said := part(task.gate))}


def judging_metrics(task: Task) -> dict[str, Metric]:
    """Name -> metric, of those that the gate can judge the task by, with or without a reader."""
    own: tuple[Metric, ...] = task.metrics
    if task.questions is not None:
        own = (*READING_METRICS, *map(usable_of, task.groups.names), *own)
    return {metric.name: metric for metric in own if metric.higher_is_better is not None}


def _margins() -> dict[str, dict[str, float]]:
    """task -> metric -> margin as the task states it, for the metrics that decide by default."""
    found = {}
    for name, task in TASKS.items():
        metrics = judging_metrics(task)
        deciding = (task.gate.metric or task.metrics[0].name, task.gate.without_reader)
        found[name] = {metric: metrics[metric].margin for metric in deciding if metric}
    return found


class GateConfig(Section):
    """Rules of the gate; `mtl.promotion` says how they are applied."""

    metrics: dict[str, str] = Field(
        default=_as_tasks_say(lambda gate: gate.metric),
        description="The metric that decides about each task. A task that is named here must be in the report. One "
        "that is not named is decided by its first metric.",
    )
    margins: dict[str, dict[str, Margin]] = Field(
        default=_margins(),
        description="By task and metric, the loss that does not count, in the metric's own unit. A version is not "
        "promoted if its interval reaches below -margin. A metric that is not named has the margin that its task "
        "states, mostly 0.05. A margin should be at least 3.5 standard errors wide; mtl doctor -c says how many "
        "examples that takes.",
    )
    floors: dict[str, dict[str, float]] = Field(
        default=_as_tasks_say(lambda gate: dict(gate.floors)),
        description="Worst acceptable mean of metrics, by task: the lowest, or the highest where lower is better.",
    )
    guards: dict[str, list[str]] = Field(
        default=_as_tasks_say(lambda gate: list(gate.guards)),
        description="Metrics of each task that must not be clearly worse: with the whole interval below -margin. A "
        "metric with fewer than 30 pairs of values (or min_examples, if that is less) is not looked at.",
    )
    traffic_guard: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Metrics of each task that must not be clearly worse than the champion's on logged texts "
        "(evaluate.traffic_examples): with the whole interval below -margin. Only metrics that need no reference. One "
        "with too few pairs of values, as for guards, is not looked at, and the decision says so. Empty: no logged "
        "text stands against a version.",
    )
    without_reader: dict[str, str] = Field(
        default=_as_tasks_say(lambda gate: gate.without_reader),
        description="The metric that decides about a task if its metric above needs the reader (evaluate.reader) and "
        "there is no reader or it is not good enough.",
    )
    reader_at_least: float = Field(
        0.5,
        ge=0,
        le=1,
        description="The reader is good enough if it answers at least this share of the data set's own questions as "
        "their keys say. With four options, chance is 0.25.",
    )
    guard_groups: bool = Field(
        True,
        description="The deciding metric must not be clearly worse in any group of examples, such as a difficulty, "
        "that has 30 examples (or min_examples, if that is less).",
    )
    min_examples: int = Field(
        30, ge=2, description="A version is not promoted if fewer examples of a task were evaluated."
    )
    too_few_examples: Literal["refuse", "register"] = Field(
        "refuse",
        description="What a retrain does if a task has fewer evaluated examples than min_examples. refuse ends it "
        "before the training, register trains and registers a version that is not promoted.",
    )
    confidence: float = Field(
        0.95,
        gt=0.5,
        le=0.99,
        description="Confidence of the paired bootstrap interval, and of all tests for a gain together. At most 0.99: "
        "2,000 resamples cannot tell smaller chances.",
    )
    rotate: Literal["never", "weekly"] = Field(
        "never",
        description="With weekly, each week another seeded part of the examples judges, of the same size "
        "(evaluate.max_examples), so that no version becomes champion by one lucky sample. A run keeps its week.",
    )
    best_earlier: bool = Field(
        True,
        description="Measure a version beside the best earlier champion too, where that one stands higher than the "
        "present one on some task, and refuse a version that may be worse than it by more than the margin.",
    )
    approval: Literal["auto", "manual"] = Field(
        "auto",
        description="With auto the gate alone decides. With manual, a version that passes it waits for a person's "
        "approval.",
    )
    approval_hours: float = Field(
        72.0, gt=0, le=8760, description="Hours that a version waits for approval. After them, it is not promoted."
    )

    @field_validator("traffic_guard")
    @classmethod
    def _measured_on_traffic(cls, guards: dict[str, list[str]]) -> dict[str, list[str]]:
        """A metric that needs a reference has no value on a logged text, so that its guard would never do anything."""
        for task, names in guards.items():
            if task not in TASKS:
                raise ValueError(f"there is no task {task!r}; {did_you_mean(task, TASKS)}")
            known = {name for name, metric in judging_metrics(TASKS[task]).items() if not metric.needs_reference}
            if unknown := [name for name in names if name not in known]:
                raise ValueError(
                    f"{task} is not judged by {unknown[0]!r} on logged texts, which have no references; "
                    f"{did_you_mean(unknown[0], known)}"
                )
        return guards

    @field_validator("margins")
    @classmethod
    def _of_metrics(cls, margins: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        """A margin of a metric that nothing is judged by would do nothing."""
        for task in TASKS.keys() & margins.keys():
            known = judging_metrics(TASKS[task])
            for name in margins[task]:
                if name not in known:
                    raise ValueError(f"{task} is not judged by {name!r}; {did_you_mean(name, known)}")
        if unknown := [task for task in margins if task not in TASKS]:
            raise ValueError(f"there is no task {unknown[0]!r}; {did_you_mean(unknown[0], TASKS)}")
        return margins
