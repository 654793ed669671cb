"""A task whose predictions are its scores: `"0.5"`, `"None"`, `"nan"` or `"{'name': 0.5}"`."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from typing import Any

from mtl.example import Example
from mtl.task import Metric, Scores, Task


def toy_task(name: str, metrics: tuple[Metric, ...], *, groups: int = 0) -> Task:
    """A number is the score of the first metric; a mapping names its metrics. Groups are `g0`, `g1`, ..."""

    def score(example: Example, prediction: str) -> Scores:
        value: Any = ast.literal_eval(_spelled(prediction))
        named: Mapping[str, Any] = value if isinstance(value, dict) else {metrics[0].name: value}
        return {key: _number(inner) for key, inner in named.items()}

    def group(example: Example) -> Iterable[str]:
        return [f"g{example.meta['group']}"] if groups else []

    unused: Any = None
    others = {field: unused for field in Task.__dataclass_fields__ if field not in _OWN}
    return Task(name=name, version=1, token=f"<{name}>", metrics=metrics, score=score, group=group, **others)


_OWN = ("name", "version", "token", "metrics", "score", "group")


def _spelled(prediction: str) -> str:
    return prediction.replace("nan", "'nan'").replace("inf", "'inf'")


def _number(value: Any) -> float | None:
    return math.nan if value == "nan" else math.inf if value == "inf" else value
