"""Measure models on logged texts: what people asked, for which nobody has written a reference.

Only metrics that need no reference are measured, and those of the reader. The base is left out: nobody asks how it does
on these texts, and none of its answers would have been kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtl.evaluation.logged import SAMPLE
from mtl.evaluation.report import CANDIDATE, CHAMPION, EvalReport
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.task import Task
from mtl.traffic.sample import TrafficSample


def measure_traffic(
    measure: Callable[..., EvalReport],
    folders: Mapping[str, Path],
    sample: TrafficSample,
    examples: Sequence[Example],
    *,
    tasks: Mapping[str, Task],
    seed: int,
    confidence: float,
) -> EvalReport:
    """The report of candidate and champion. measure: `mtl.evaluation.run.measure` with what is the same for all
    examples. examples: those of the sample that the log still has.

    It holds no text and no answer: they are people's, and reports outlive the log's retention.
    """
    free = {name: task.without_references() for name, task in tasks.items()}
    models = {name: folders[name] for name in (CANDIDATE, CHAMPION) if name in folders}
    how: dict[str, Any] = {"tasks": free, "seed": seed, "confidence": confidence, "samples_per_task": 0}
    if examples:
        report = measure(models, examples, base=False, **how)
    else:
        report = evaluate_models({name: [] for name in models}, [], **how)
    note = sample.to_dict() | {"expired": len(sample.ids) - len(examples)}
    del note["ids"]
    settings = {name: value for name, value in report.settings.items() if name != "reader"}  # its test has references
    return replace(report, scores=(), settings={**settings, SAMPLE: note})
