"""What stands against a candidate before it is compared on the metrics that decide: one sentence each."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mtl.evaluation.numbers import difference, number
from mtl.evaluation.report import BEST, CANDIDATE, CHAMPION, Comparison, EvalReport
from mtl.promotion.policy import (
    PromotionPolicy,
    Shortage,
    deciding,
    guarded_from,
    guards_of,
    margin_of,
    tasks_of,
)

NAMES = {BEST: "best earlier champion"}
"""What a model is called in a sentence, where that is not its name."""


def report_objections(
    report: EvalReport, policy: PromotionPolicy, *, against: str, champion_exists: bool | None
) -> Iterator[str]:
    if CANDIDATE not in report.models:
        yield "The report has no candidate."
    if against not in report.models:
        yield "The report has neither a champion nor the base to compare the candidate with."
    if champion_exists and CHAMPION not in report.models:
        yield "There is a champion, but the report does not compare the candidate with it."
    if report.confidence != policy.confidence:
        yield (
            f"The report's intervals are at {report.confidence:.0%}, and the policy asks for {policy.confidence:.0%}."
        )
    if not tasks_of(report, policy):
        yield "Neither the report nor the policy names a task."


def task_objections(
    report: EvalReport, policy: PromotionPolicy, shortage: Shortage | None, *, task: str, against: str
) -> Iterator[str]:
    """What stands against the candidate on a task, before it is compared on the metric that decides."""
    result = report.results[CANDIDATE].get(task)
    if result is None or not report.metrics.get(task):
        yield f"{task}: the task is missing from the report."
        return
    if shortage is not None:
        yield str(shortage)
    yield from _bad_values(report, task=task, against=against)
    yield from _unmeasured(report, policy, task=task, against=against)
    yield from incomparable(report, policy, task=task, against=against)
    yield from under_floors(report, policy, task=task)
    yield from _guarded(report, policy, task=task, against=against)


def _bad_values(report: EvalReport, *, task: str, against: str) -> Iterator[str]:
    """Values that are not finite, and metrics that only the opponent has: whichever metric it is, something broke."""
    for name, value in report.results[CANDIDATE][task].means.items():
        if value is not None and not math.isfinite(value):
            yield f"{task}: {name} of the candidate is not a finite number."
        theirs = report.mean(against, task, name)
        if theirs is not None and not math.isfinite(theirs):
            yield f"{task}: {name} of the {against} is not a finite number, so that nothing can be compared with it."
        described = report.metric(task, name)
        judged = described is None or described.higher_is_better is not None
        if value is None and theirs is not None and judged:
            yield f"{task}: {name} is missing for the candidate, and the {against} has {number_of(theirs)}."


def _unmeasured(report: EvalReport, policy: PromotionPolicy, *, task: str, against: str) -> Iterator[str]:
    """Metrics that the policy names and that nobody has, or that cannot be judged by."""
    needed = dict.fromkeys((deciding(report, policy, task), *policy.floors.get(task, {})))
    for name in dict.fromkeys((*needed, *guards_of(report, policy, task))):
        metric = report.metric(task, name)
        if metric is None:
            yield f"{task}: the report has no metric {name}, which the policy asks for."
        elif metric.higher_is_better is None:
            yield f"{task}: of {name}, which the policy asks for, neither more nor less is better."
        elif name in needed and all(report.mean(model, task, name) is None for model in (CANDIDATE, against)):
            yield f"{task}: {name}, which the policy asks for, has no value on any example."


def incomparable(report: EvalReport, policy: PromotionPolicy, *, task: str, against: str) -> Iterator[str]:
    metric = deciding(report, policy, task)
    ours, theirs = report.mean(CANDIDATE, task, metric), report.mean(against, task, metric)
    if ours is None or not math.isfinite(ours) or not math.isfinite(theirs or 0.0):
        return  # said already
    found, name = report.comparison(against, task, metric), NAMES.get(against, against)
    if found is None:
        yield f"{task}: {metric} of the candidate was not compared with the {name}'s."
        return
    if found.unpaired:
        yield (
            f"{task}: on {found.unpaired} examples only one of candidate and {name} has a value of {metric}, "
            "so that the two are not comparable."
        )
    if found.n < policy.min_examples:
        yield f"{task}: {metric} has {found.n} pairs, and the policy asks for at least {policy.min_examples}."
    elif not all(map(math.isfinite, (found.difference, found.low, found.high))):
        yield f"{task}: the difference in {metric} to the {name} is not a finite number."


def under_floors(report: EvalReport, policy: PromotionPolicy, *, task: str) -> Iterator[str]:
    for name, floor in policy.floors.get(task, {}).items():
        value, metric = report.mean(CANDIDATE, task, name), report.metric(task, name)
        if value is None or metric is None or not math.isfinite(value):
            continue
        if metric.higher_is_better and value < floor:
            yield f"{task}: {name} is {number_of(value)}, under its floor of {number_of(floor)}."
        if metric.higher_is_better is False and value > floor:
            yield f"{task}: {name} is {number_of(value)}, over its ceiling of {number_of(floor)}."


def _guarded(report: EvalReport, policy: PromotionPolicy, *, task: str, against: str) -> Iterator[str]:
    """Guarded metrics, and the deciding one in each group, that are clearly worse."""
    decides, guards = deciding(report, policy, task), guards_of(report, policy, task)
    for found in report.comparisons:
        if (found.against, found.task) != (against, task) or found.n < guarded_from(policy):
            continue
        watched = found.metric in guards if found.group is None else policy.guard_groups and found.metric == decides
        if watched and gain(report, found)[2] < -margin_of(report, policy, task, found.metric):
            where, values = f" in {found.group}" if found.group else "", ""
            if found.group is None:
                ours, theirs = (report.mean(model, task, found.metric) for model in (CANDIDATE, against))
                values = f"{number_of(ours)} against the {against}'s {number_of(theirs)}, difference "
            yield f"{task}: {found.metric}{where} is clearly worse: {values}{difference_of(found)}."


def gain(report: EvalReport, comparison: Comparison) -> tuple[float, float, float]:
    """(difference, low, high), turned round where lower is better: above 0 is always an improvement."""
    metric = report.metric(comparison.task, comparison.metric)
    if metric is not None and metric.higher_is_better is False:
        return -comparison.difference, -comparison.high, -comparison.low
    return comparison.difference, comparison.low, comparison.high


def values_of(report: EvalReport, comparison: Comparison) -> str:
    ours, theirs = (report.mean(model, comparison.task, comparison.metric) for model in (CANDIDATE, comparison.against))
    return f"{number_of(ours)} against {number_of(theirs)}, difference {difference_of(comparison)}"


def difference_of(comparison: Comparison) -> str:
    found = difference(comparison.difference, comparison.low, comparison.high, digits=4)
    return f"{found} on {comparison.n} examples"


def number_of(value: float | None) -> str:
    return number(value, digits=4, none="nothing")
