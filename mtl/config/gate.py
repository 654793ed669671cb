"""When a candidate becomes champion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from mtl.config.section import Section
from mtl.task import GateDefaults
from mtl.tasks.table import TASKS


def _as_tasks_say(part: Callable[[GateDefaults], Any]) -> dict[str, Any]:
    """task -> what its gate defaults say, for those that say anything."""
    return {name: said for name, task in TASKS.items() if (said := part(task.gate))}


class GateConfig(Section):
    """Rules of the gate; `mtl.promotion` says how they are applied."""

    metrics: dict[str, str] = Field(
        default=_as_tasks_say(lambda gate: gate.metric),
        description="task -> the metric that decides; a named task must be in the report; "
        "a task that is not named is decided by its first metric",
    )
    floors: dict[str, dict[str, float]] = Field(
        default=_as_tasks_say(lambda gate: dict(gate.floors)),
        description="task -> metric -> worst acceptable mean (the highest one where lower is better)",
    )
    guards: dict[str, list[str]] = Field(
        default=_as_tasks_say(lambda gate: list(gate.guards)),
        description="task -> metrics that must not be clearly worse, i.e. with the whole interval below -tolerance",
    )
    guard_groups: bool = Field(
        True,
        description="the deciding metric must not be clearly worse in any group of a task's examples, such as a "
        "difficulty, with min_examples",
    )
    min_examples: int = Field(30, ge=2, description="fewer evaluated examples of a task: not promoted")
    too_few_examples: Literal["refuse", "register"] = Field(
        "refuse",
        description="What a retrain does if a task has fewer evaluated examples than min_examples. refuse: it ends "
        "before the training; register: it trains and registers a version that is not promoted",
    )
    tolerance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="a task is worse if the interval's low end is under -tolerance and its mean difference below 0",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the paired bootstrap interval")
    approval: Literal["auto", "manual"] = Field(
        "auto", description="auto: the gate alone decides; manual: what it lets through waits for a person"
    )
    approval_hours: float = Field(
        72.0, gt=0, le=8760, description="how long a version waits for approval before it is not promoted"
    )
