"""A task whose predictions are its scores: `"0.5"`, `"None"`, `"nan"` or `"{'name': 0.5}"`."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from mtl.example import Example
from mtl.task import Groups, Metric, Scores, Task


def toy_task(name: str, metrics: tuple[Metric, ...], *, groups: int = 0, names: tuple[str, ...] = ()) -> Task:
    """A number is the score of the first metric; a mapping names its metrics.

    Groups are by `meta["group"]`: `g0`, `g1`, ..., or the one of `names` at that place.
    """

    def score(example: Example, prediction: str) -> Scores:
        value: Any = ast.literal_eval(_spelled(prediction))
        named: Mapping[str, Any] = value if isinstance(value, dict) else {metrics[0].name: value}
        return {key: _number(inner) for key, inner in named.items()}

    def group(example: Example) -> Iterable[str]:
        if not groups:
            return []
        return [names[example.meta["group"]] if names else f"g{example.meta['group']}"]

    unused: Any = None
    others = {field.name: unused for field in fields(Task) if field.name not in _OWN and _is_required(field)}
    return Task(
        name=name,
        version=1,
        token=f"<{name}>",
        metrics=metrics,
        score=score,
        group=group,
        groups=Groups("level", names),
        **others,
    )


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


_OWN = ("name", "version", "token", "metrics", "score", "group", "groups")


def _spelled(prediction: str) -> str:
    return prediction.replace("nan", "'nan'").replace("inf", "'inf'")


def _number(value: Any) -> float | None:
    return math.nan if value == "nan" else math.inf if value == "inf" else value
