"""Which examples a reader of the report sees: the worst, the median and the best for the candidate, and random ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from mtl.data.selection import FEEDBACK
from mtl.evaluation.report import BASE, CANDIDATE, CHAMPION, MODELS, ExampleScores, Means, Readings, Sample
from mtl.example import Example
from mtl.fingerprint import sha256_json
from mtl.task import Metric, Task


def sample_examples(
    examples: Iterable[Example], *, per_task: int | None, seed: int, week: str | None = None
) -> list[Example]:
    """At most `per_task` examples of each task, in their order; None takes all.

    Who is drawn depends on (seed, week, uid) alone, so that a data set that grows keeps most of its sample.
    week: any name; each draws other examples.
    """
    everything = list(examples)
    if per_task is None:
        return everything
    drawn_by = [seed] if week is None else [seed, week]
    ranked: dict[str, list[tuple[str, int]]] = {}
    for index, example in enumerate(everything):
        ranked.setdefault(example.task, []).append((sha256_json([*drawn_by, example.uid]), index))
    chosen = sorted(index for rows in ranked.values() for _, index in sorted(rows)[:per_task])
    return [everything[index] for index in chosen]


def pick_samples(
    predictions: Mapping[str, Sequence[str]],
    examples: Sequence[Example],
    scores: Mapping[str, Sequence[ExampleScores]],
    *,
    tasks: Mapping[str, Task],
    seed: int,
    per_task: int,
    readings: Callable[[Example, str], Readings],
) -> tuple[Sample, ...]:
    """At most `per_task` samples of each task. scores: model -> rows aligned with `examples`.

    Worst, median and best are by the candidate's gain over the champion (or the base); with no candidate all are
    random. Never one of a text that people spoke of: reports, also in releases, have other readers than the data.
    """
    found: list[Sample] = []
    for name, task in tasks.items():
        own = [index for index, example in enumerate(examples) if example.task == name and FEEDBACK not in example.meta]
        gains = _gains(scores, own, task)
        for kind, index in _chosen(examples, own, gains, seed=seed)[:per_task]:
            example = examples[index]
            texts = {m: predictions[m][index] for m in MODELS if m in predictions}
            read = {m: readings(example, text) for m, text in {"reference": example.targets, **texts}.items()}
            found.append(
                Sample(
                    task=name,
                    uid=example.uid,
                    inputs=example.inputs,
                    reference=example.targets,
                    predictions=texts,
                    kind=kind,
                    gain=gains.get(index),
                    readings={m: its for m, its in read.items() if its},
                )
            )
    return tuple(found)


def gain(task: Task, ours: Means, theirs: Means) -> float:
    """By how much `ours` is better, -1..1: the mean over the metrics of a closed range where one end is better.

    A value that is missing or not finite counts as the worse end: nothing could be read.
    """
    metrics = [m for m in task.metrics if m.higher_is_better is not None and None not in (m.low, m.high)]
    differences = [_goodness(metric, ours) - _goodness(metric, theirs) for metric in metrics]
    return fmean(differences) if differences else 0.0


def _goodness(metric: Metric, scores: Means) -> float:
    """0 at the worse end of the metric's range, 1 at the better one."""
    value = scores.get(metric.name)
    assert metric.low is not None and metric.high is not None, "the caller looked"
    if value is None or not math.isfinite(value):
        return 0.0
    share = (value - metric.low) / (metric.high - metric.low)
    return share if metric.higher_is_better else 1 - share


def _gains(scores: Mapping[str, Sequence[ExampleScores]], own: Sequence[int], task: Task) -> dict[int, float]:
    against = CHAMPION if CHAMPION in scores else BASE
    if CANDIDATE not in scores or against not in scores:
        return {}
    return {i: gain(task, scores[CANDIDATE][i].scores, scores[against][i].scores) for i in own}


def _chosen(
    examples: Sequence[Example], own: Sequence[int], gains: Mapping[int, float], *, seed: int
) -> list[tuple[str, int]]:
    """(kind, index): the three by gain first, then all others in a random order."""
    order = sorted(own, key=lambda index: sha256_json([seed, examples[index].uid]))
    ranked = sorted(order, key=lambda index: gains.get(index, 0.0)) if gains else []
    named = list(zip(("worst", "median", "best"), _ends(ranked), strict=False))
    taken = {index for _, index in named}
    return [*named, *(("random", index) for index in order if index not in taken)]


def _ends(ranked: Sequence[int]) -> list[int]:
    if not ranked:
        return []
    return list(dict.fromkeys((ranked[0], ranked[len(ranked) // 2], ranked[-1])))
