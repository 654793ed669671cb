"""The gate: an EvalReport and a policy in, a decision with its reasons out. Pure; nothing here reads or writes.

The opponent is the champion, or the base where there is no champion yet. Each task is decided by one metric, which has
a margin: a loss, in the metric's own unit, that does not count. By the paired differences on this metric, the candidate
is

    better   if a one-sided test rejects "it is not better" at the level (1 - confidence) / number of tasks: a candidate
             that is equal on all tasks is then better on some task in at most 1 - confidence of cases (Bonferroni)
    worse    if the interval lies wholly below 0, or reaches below -margin: it is shown to be worse, or a loss of more
             than the margin is not ruled out
    equal    otherwise

It is promoted if it is worse on no task and better on at least one, and nothing below stands against it: a task or a
metric missing, a value that is not a finite number, too few examples, a floor not met, a guarded metric or a
group clearly worse (its whole interval below -margin). Ties are not promoted: the champion is the safer of two equals.

Many promotions of candidates that are "no worse" could add up to a loss. If the report has the best earlier champion
too, the candidate's interval against it may not reach below -margin on any task either.

With confidence 0.95, two tasks and margins of 3.5 standard errors of the mean difference, a candidate that is truly
better by 3 standard errors on one task and equal on the other is promoted in 80% of cases, one that is equal on both in
5%, and one that is worse by a margin on a task in 2.5%, whatever it gains on the other. benchmarks/bench_gate.py shows
these rates of `decide`, at the number of examples of each shipped configuration, and what they come to over years.

Metrics that come from a reader (`mtl.metrics.reading`) count only if the report's reader answers enough of the data
set's own questions correctly. If not, another metric of the policy decides instead, and guards that come from the
reader are left out.

The policy may also name metrics that guard on logged texts, which have no references (`mtl.promotion.traffic`).

    decision = decide(report, policy_from(config.gate))

`regressions` holds a released model to the same policy: its deciding metrics and its floors. `power` says what
differences the report's examples can show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mtl.decision import GATE, DecisionState
from mtl.evaluation.power import Power, level_of
from mtl.evaluation.report import BEST, CANDIDATE, Comparison, EvalReport
from mtl.metrics.reading import needs_reader
from mtl.promotion.objections import (
    NAMES,
    gain,
    incomparable,
    number_of,
    report_objections,
    task_objections,
    under_floors,
    values_of,
)
from mtl.promotion.policy import (
    PromotionPolicy,
    Shortage,
    deciding,
    guarded_from,
    guards_of,
    margin_of,
    policy_from,
    preferred_metric,
    reader_share,
    shortages,
    tasks_of,
    will_be_evaluated,
    without_reader,
)
from mtl.promotion.traffic import unguarded_on_traffic, worse_on_traffic

__all__ = [
    "PromotionDecision",
    "PromotionPolicy",
    "Shortage",
    "decide",
    "deciding",
    "margin_of",
    "policy_from",
    "power",
    "regressions",
    "shortages",
    "will_be_evaluated",
]


@dataclass(frozen=True, slots=True)
class PromotionDecision:
    """Each reason is one sentence. `compared_with` is champion or base."""

    promoted: bool
    reasons: tuple[str, ...]
    policy_version: str
    compared_with: str

    def to_dict(self) -> dict[str, Any]:
        """`decision` of `mtl retrain --json`."""
        state = DecisionState.PROMOTE if self.promoted else DecisionState.REJECT
        return asdict(self) | {"reasons": list(self.reasons), "state": state.value, "by": GATE}


def decide(report: EvalReport, policy: PromotionPolicy, *, champion_exists: bool | None = None) -> PromotionDecision:
    """Whether the report's candidate becomes champion, and why or why not.

    champion_exists: what the registry says. If it knows a champion that the report lacks, nothing is promoted; None
    takes the report's word.
    """
    against = report.opponent
    objections = [*report_objections(report, policy, against=against, champion_exists=champion_exists)]
    verdicts: list[_Verdict] = []
    if not objections:
        lacking = {short.task: short for short in shortages(report.examples, policy)}
        for task in tasks_of(report, policy):
            found = list(task_objections(report, policy, lacking.get(task), task=task, against=against))
            objections += found
            if not found:
                verdicts.append(_judge(report, policy, task=task, against=against))
                objections += _worse_than_best(report, policy, task=task)
        objections += [verdict.sentence for verdict in verdicts if verdict.outcome == "worse"]
        objections += worse_on_traffic(report, policy)
    if not objections and not any(verdict.outcome == "better" for verdict in verdicts):
        objections.append(f"No task is better than the {against}; a tie does not promote.")
    reasons = objections + [verdict.sentence for verdict in verdicts if verdict.sentence not in objections]
    reasons += [*_replaced(report, policy), *_unguarded(report, policy), *unguarded_on_traffic(report, policy)]
    return PromotionDecision(
        promoted=not objections, reasons=tuple(reasons), policy_version=policy.version, compared_with=against
    )


def regressions(
    report: EvalReport, before: Mapping[str, Mapping[str, float | None]], policy: PromotionPolicy, *, max_drop: float
) -> list[str]:
    """What got worse about a released model, which the report measures as its candidate, one sentence each.

    before: task -> metric -> mean at its release. The metric that decides about a task may get worse by `max_drop` (in
    its own unit, whichever direction is better), and the policy's floors hold as they do for a new version.
    """
    found = []
    for task in report.results.get(CANDIDATE, {}):
        name = _deciding_since(report, policy, task, before.get(task, {}))
        metric, value, then = (
            report.metric(task, name),
            report.mean(CANDIDATE, task, name),
            before.get(task, {}).get(name),
        )
        if metric is None or value is None or not math.isfinite(value):
            found.append(f"{task}: {name} is missing.")
        elif then is not None and metric.higher_is_better is not None:
            loss = then - value if metric.higher_is_better else value - then
            if loss > max_drop:
                verb = "fell" if metric.higher_is_better else "rose"
                found.append(
                    f"{task}: {name} {verb} from {number_of(then)} to {number_of(value)}, by more than {max_drop:g}."
                )
        found += under_floors(report, policy, task=task)
    return found


def power(report: EvalReport, policy: PromotionPolicy) -> list[Power]:
    """What the report's examples can show of each task's deciding metric; none where all differences are equal."""
    found = []
    for task in filter(report.metrics.get, report.metrics):
        metric = deciding(report, policy, task)
        compared = report.comparison(report.opponent, task, metric)
        if compared is not None and math.isfinite(compared.deviation) and compared.deviation > 0:
            margin, tasks = margin_of(report, policy, task, metric), len(tasks_of(report, policy))
            found.append(Power(task, metric, compared.n, compared.deviation, margin, tasks, policy.confidence))
    return found


@dataclass(frozen=True, slots=True)
class _Verdict:
    outcome: str
    sentence: str


def _replaced(report: EvalReport, policy: PromotionPolicy) -> Iterator[str]:
    """One sentence for each task that is not decided by the metric that the policy names, and why not."""
    share = reader_share(report)
    why = "no reader answered the data set's own questions"
    if share is not None:
        why = (
            f"the reader answered {math.floor(100 * share) / 100:.2f} of the data set's own questions correctly, and "
            f"gate.reader_at_least asks for {policy.reader_at_least:.2f}"
        )
    for task in filter(report.metrics.get, report.metrics):
        wanted, found = preferred_metric(report, policy, task), deciding(report, policy, task)
        if wanted != found:
            yield f"{task}: {why}, so {found} decides instead of {wanted}."


def _deciding_since(report: EvalReport, policy: PromotionPolicy, task: str, before: Mapping[str, float | None]) -> str:
    """The metric that decides about a released version; one without the reader if its release knew no such metric."""
    name = deciding(report, policy, task)
    other = without_reader(report, policy, task) if needs_reader(name) else name
    return other if before.get(name) is None and before.get(other) is not None else name


def _unguarded(report: EvalReport, policy: PromotionPolicy) -> Iterator[str]:
    """One sentence for each guard that has too few pairs to be looked at."""
    least = guarded_from(policy)
    for task in report.metrics:
        for name in guards_of(report, policy, task):
            found = report.comparison(report.opponent, task, name)
            if found is not None and 0 < found.n < least:
                both = f"only {found.n} examples have a value for both models"
                yield f"{task}: {name} was not guarded: {both}, and a guard needs {least}."


def _judge(report: EvalReport, policy: PromotionPolicy, *, task: str, against: str) -> _Verdict:
    metric = deciding(report, policy, task)
    comparison = report.comparison(against, task, metric)
    assert comparison is not None, "task_objections found it"
    _, low, high = gain(report, comparison)
    margin = margin_of(report, policy, task, metric)
    if high < 0:
        outcome, words, by = "worse", "is worse than", ""
    elif low < -margin:
        outcome, words, by = "worse", "may be worse than", f" by more than the margin of {margin:g}"
    elif _is_better(comparison, low, level=level_of(policy.confidence, len(tasks_of(report, policy)))):
        outcome, words, by = "better", "is better than", ""
    else:
        outcome, words, by = "equal", "is no worse than", ""
    return _Verdict(outcome, f"{task}: {metric} {words} the {against}'s{by}: {values_of(report, comparison)}.")


def _is_better(comparison: Comparison, low: float, *, level: float) -> bool:
    """By the test, or by the interval in a report from before there were p-values."""
    return low > 0 if math.isnan(comparison.p_value) else comparison.p_value <= level


def _worse_than_best(report: EvalReport, policy: PromotionPolicy, *, task: str) -> Iterator[str]:
    """Where the report compares with the best earlier champion: that it may be worse than that one by a margin."""
    if not any(found.against == BEST for found in report.comparisons):
        return
    metric = deciding(report, policy, task)
    comparison, margin = report.comparison(BEST, task, metric), margin_of(report, policy, task, metric)
    if problems := list(incomparable(report, policy, task=task, against=BEST)):
        yield from problems
    elif comparison is None or not math.isfinite(comparison.low):
        yield f"{task}: the difference in {metric} to the {NAMES[BEST]} is not a finite number."
    elif gain(report, comparison)[1] < -margin:
        yield (
            f"{task}: {metric} may be worse than the {NAMES[BEST]}'s by more than the margin of {margin:g}: "
            f"{values_of(report, comparison)}."
        )
