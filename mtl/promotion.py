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

    decision = decide(report, policy_from(config.gate))

`regressions` holds a released model to the same policy: its deciding metrics and its floors. `power` says what
differences the report's examples can show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mtl.config.gate import GateConfig
from mtl.data.manifest import SplitCounts
from mtl.decision import GATE, DecisionState
from mtl.evaluation.numbers import difference, number
from mtl.evaluation.power import Power, level_of
from mtl.evaluation.report import BEST, CANDIDATE, CHAMPION, Comparison, EvalReport
from mtl.fingerprint import sha256_json
from mtl.metrics.reading import GUESSABLE, needs_reader

RULES = 5
"""Raised with every change of what `decide` does with the same report and policy."""
GUARDED_FROM = 30
"""Pairs from which a guarded metric or a group is looked at, also where `min_examples` asks for more: the reader reads
some things of a sample only."""
_NAMES = {BEST: "best earlier champion"}
"""What a model is called in a sentence, where that is not its name."""


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """metrics: task -> metric that decides; a task of the report that is not named is decided by its own first metric.

    margins: task -> metric -> loss that does not count; a metric that is not named has the margin that its task states.
    floors: task -> metric -> worst acceptable mean (the highest, where lower is better). guards: task -> metrics that
    must not be clearly worse. without_reader: task -> metric that decides instead of one that comes from the reader,
    where that reader answered less than `reader_at_least` of the data set's own questions correctly, or there is none.
    guard_groups: hold the deciding metric to the same in each group (difficulty) that has
    `min_examples`. confidence is that of the report's intervals.
    """

    metrics: Mapping[str, str]
    margins: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    floors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    guards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    without_reader: Mapping[str, str] = field(default_factory=dict)
    reader_at_least: float = 0.5
    guard_groups: bool = True
    min_examples: int = 30
    confidence: float = 0.95

    @property
    def version(self) -> str:
        """Version of the rules and a hash of the parameters: equal versions decide alike."""
        return f"{RULES}-{sha256_json(asdict(self))[:8]}"


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


def policy_from(gate: GateConfig) -> PromotionPolicy:
    """The policy that a configuration asks for."""
    values = {name: getattr(gate, name) for name in (f.name for f in fields(PromotionPolicy))}
    return PromotionPolicy(**values | {"guards": {task: tuple(names) for task, names in gate.guards.items()}})


@dataclass(frozen=True, slots=True)
class Shortage:
    """A task with fewer evaluated examples than the policy needs, so that no version can be promoted."""

    task: str
    found: int
    needed: int

    def __str__(self) -> str:
        return f"{self.task}: {self.found} examples were evaluated, and the policy asks for at least {self.needed}."


def shortages(evaluated: Mapping[str, int], policy: PromotionPolicy) -> list[Shortage]:
    """What keeps every version from being promoted, whatever it scores. evaluated: task -> examples of the report.

    Known before the training too: see `will_be_evaluated`.
    """
    tasks = dict.fromkeys([*policy.metrics, *evaluated])
    counted = {task: evaluated.get(task, 0) for task in tasks}
    return [Shortage(task, n, policy.min_examples) for task, n in counted.items() if n < policy.min_examples]


def will_be_evaluated(
    counts: Mapping[str, Mapping[str, SplitCounts]], *, split: str, max_examples: int | None
) -> dict[str, int]:
    """task -> examples that a report will be about. counts: of a data set's manifest, after all that leaves it."""
    have = {task: splits[split].examples if split in splits else 0 for task, splits in counts.items()}
    return {task: n if max_examples is None else min(n, max_examples) for task, n in have.items()}


def decide(report: EvalReport, policy: PromotionPolicy, *, champion_exists: bool | None = None) -> PromotionDecision:
    """Whether the report's candidate becomes champion, and why or why not.

    champion_exists: what the registry says. If it knows a champion that the report lacks, nothing is promoted; None
    takes the report's word.
    """
    against = report.opponent
    objections = [*_report_objections(report, policy, against=against, champion_exists=champion_exists)]
    verdicts: list[_Verdict] = []
    if not objections:
        lacking = {short.task: short for short in shortages(report.examples, policy)}
        for task in _tasks(report, policy):
            found = list(_task_objections(report, policy, lacking.get(task), task=task, against=against))
            objections += found
            if not found:
                verdicts.append(_judge(report, policy, task=task, against=against))
                objections += _worse_than_best(report, policy, task=task)
        objections += [verdict.sentence for verdict in verdicts if verdict.outcome == "worse"]
    if not objections and not any(verdict.outcome == "better" for verdict in verdicts):
        objections.append(f"No task is better than the {against}; a tie does not promote.")
    reasons = objections + [verdict.sentence for verdict in verdicts if verdict.sentence not in objections]
    reasons += [*_replaced(report, policy), *_unguarded(report, policy)]
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
                    f"{task}: {name} {verb} from {_number(then)} to {_number(value)}, by more than {max_drop:g}."
                )
        found += _under_floors(report, policy, task=task)
    return found


def power(report: EvalReport, policy: PromotionPolicy) -> list[Power]:
    """What the report's examples can show of each task's deciding metric; none where all differences are equal."""
    found = []
    for task in filter(report.metrics.get, report.metrics):
        metric = deciding(report, policy, task)
        compared = report.comparison(report.opponent, task, metric)
        if compared is not None and math.isfinite(compared.deviation) and compared.deviation > 0:
            margin, tasks = margin_of(report, policy, task, metric), len(_tasks(report, policy))
            found.append(Power(task, metric, compared.n, compared.deviation, margin, tasks, policy.confidence))
    return found


def margin_of(report: EvalReport, policy: PromotionPolicy, task: str, name: str) -> float:
    """The loss that does not count: the policy's, or the one that the task states."""
    metric = report.metric(task, name)
    stated = 0.0 if metric is None else metric.margin
    return policy.margins.get(task, {}).get(name, stated)


@dataclass(frozen=True, slots=True)
class _Verdict:
    outcome: str
    sentence: str


def _tasks(report: EvalReport, policy: PromotionPolicy) -> list[str]:
    return list(dict.fromkeys([*policy.metrics, *report.metrics]))


def deciding(report: EvalReport, policy: PromotionPolicy, task: str) -> str:
    """The metric that decides about a task of the report."""
    name = _wanted(report, policy, task)
    return name if _trusted(report, policy) or not needs_reader(name) else _without_reader(report, policy, task)


def _wanted(report: EvalReport, policy: PromotionPolicy, task: str) -> str:
    """The metric that decides where the reader is good enough."""
    return policy.metrics.get(task) or _own_first(report, task)


def _without_reader(report: EvalReport, policy: PromotionPolicy, task: str) -> str:
    return policy.without_reader.get(task) or _own_first(report, task)


def _own_first(report: EvalReport, task: str) -> str:
    """The first metric that the task has without a reader."""
    return next(metric.name for metric in report.metrics[task] if not needs_reader(metric.name))


def _reader_share(report: EvalReport) -> float | None:
    """The share of the data set's own questions that the reader answered correctly; None where it answered none."""
    share: float | None = report.settings.get("reader", {}).get("reference_with_passage")
    return share


def _trusted(report: EvalReport, policy: PromotionPolicy) -> bool:
    share = _reader_share(report)
    return share is not None and share >= policy.reader_at_least


def _replaced(report: EvalReport, policy: PromotionPolicy) -> Iterator[str]:
    """One sentence for each task that is not decided by the metric that the policy names, and why not."""
    share = _reader_share(report)
    why = "no reader answered the data set's own questions"
    if share is not None:
        why = (
            f"the reader answered {math.floor(100 * share) / 100:.2f} of the data set's own questions correctly, and "
            f"gate.reader_at_least asks for {policy.reader_at_least:.2f}"
        )
    for task in filter(report.metrics.get, report.metrics):
        wanted, found = _wanted(report, policy, task), deciding(report, policy, task)
        if wanted != found:
            yield f"{task}: {why}, so {found} decides instead of {wanted}."


def _deciding_since(report: EvalReport, policy: PromotionPolicy, task: str, before: Mapping[str, float | None]) -> str:
    """The metric that decides about a released version; one without the reader if its release knew no such metric."""
    name = deciding(report, policy, task)
    other = _without_reader(report, policy, task) if needs_reader(name) else name
    return other if before.get(name) is None and before.get(other) is not None else name


def _report_objections(
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
    if not _tasks(report, policy):
        yield "Neither the report nor the policy names a task."


def _task_objections(
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
    yield from _incomparable(report, policy, task=task, against=against)
    yield from _under_floors(report, policy, task=task)
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
            yield f"{task}: {name} is missing for the candidate, and the {against} has {_number(theirs)}."


def _unmeasured(report: EvalReport, policy: PromotionPolicy, *, task: str, against: str) -> Iterator[str]:
    """Metrics that the policy names and that nobody has, or that cannot be judged by."""
    needed = dict.fromkeys((deciding(report, policy, task), *policy.floors.get(task, {})))
    for name in dict.fromkeys((*needed, *_guards(report, policy, task))):
        metric = report.metric(task, name)
        if metric is None:
            yield f"{task}: the report has no metric {name}, which the policy asks for."
        elif metric.higher_is_better is None:
            yield f"{task}: of {name}, which the policy asks for, neither more nor less is better."
        elif name in needed and all(report.mean(model, task, name) is None for model in (CANDIDATE, against)):
            yield f"{task}: {name}, which the policy asks for, has no value on any example."


def _incomparable(report: EvalReport, policy: PromotionPolicy, *, task: str, against: str) -> Iterator[str]:
    metric = deciding(report, policy, task)
    ours, theirs = report.mean(CANDIDATE, task, metric), report.mean(against, task, metric)
    if ours is None or not math.isfinite(ours) or not math.isfinite(theirs or 0.0):
        return  # said already
    found, name = report.comparison(against, task, metric), _NAMES.get(against, against)
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


def _under_floors(report: EvalReport, policy: PromotionPolicy, *, task: str) -> Iterator[str]:
    for name, floor in policy.floors.get(task, {}).items():
        value, metric = report.mean(CANDIDATE, task, name), report.metric(task, name)
        if value is None or metric is None or not math.isfinite(value):
            continue
        if metric.higher_is_better and value < floor:
            yield f"{task}: {name} is {_number(value)}, under its floor of {_number(floor)}."
        if metric.higher_is_better is False and value > floor:
            yield f"{task}: {name} is {_number(value)}, over its ceiling of {_number(floor)}."


def _guarded(report: EvalReport, policy: PromotionPolicy, *, task: str, against: str) -> Iterator[str]:
    """Guarded metrics, and the deciding one in each group, that are clearly worse."""
    decides, guards = deciding(report, policy, task), _guards(report, policy, task)
    for found in report.comparisons:
        if (found.against, found.task) != (against, task) or found.n < _guarded_from(policy):
            continue
        watched = found.metric in guards if found.group is None else policy.guard_groups and found.metric == decides
        if watched and _gain(report, found)[2] < -margin_of(report, policy, task, found.metric):
            where, values = f" in {found.group}" if found.group else "", ""
            if found.group is None:
                ours, theirs = (report.mean(model, task, found.metric) for model in (CANDIDATE, against))
                values = f"{_number(ours)} against the {against}'s {_number(theirs)}, difference "
            yield f"{task}: {found.metric}{where} is clearly worse: {values}{_difference(found)}."


def _guarded_from(policy: PromotionPolicy) -> int:
    return min(policy.min_examples, GUARDED_FROM)


def _unguarded(report: EvalReport, policy: PromotionPolicy) -> Iterator[str]:
    """One sentence for each guard that has too few pairs to be looked at."""
    least = _guarded_from(policy)
    for task in report.metrics:
        for name in _guards(report, policy, task):
            found = report.comparison(report.opponent, task, name)
            if found is not None and 0 < found.n < least:
                both = f"only {found.n} examples have a value for both models"
                yield f"{task}: {name} was not guarded: {both}, and a guard needs {least}."


def _guards(report: EvalReport, policy: PromotionPolicy, task: str) -> list[str]:
    """The guarded metrics: those of the reader only if it is good enough.

    `guessable` stands against no candidate whose questions are as hard to guess as the data set's own: questions with
    wrong keys are the hardest to guess, and whoever gets the keys right makes it rise.
    """
    named, trusted = policy.guards.get(task, ()), _trusted(report, policy)
    guards = [name for name in named if trusted or not needs_reader(name)]
    ours = report.mean(CANDIDATE, task, GUESSABLE)
    usual = report.settings.get("reader", {}).get("reference_without_passage")
    excused = ours is not None and usual is not None and ours <= usual
    return [name for name in guards if not (excused and name == GUESSABLE)]


def _judge(report: EvalReport, policy: PromotionPolicy, *, task: str, against: str) -> _Verdict:
    metric = deciding(report, policy, task)
    comparison = report.comparison(against, task, metric)
    assert comparison is not None, "_task_objections found it"
    _, low, high = _gain(report, comparison)
    margin = margin_of(report, policy, task, metric)
    if high < 0:
        outcome, words, by = "worse", "is worse than", ""
    elif low < -margin:
        outcome, words, by = "worse", "may be worse than", f" by more than the margin of {margin:g}"
    elif _is_better(comparison, low, level=level_of(policy.confidence, len(_tasks(report, policy)))):
        outcome, words, by = "better", "is better than", ""
    else:
        outcome, words, by = "equal", "is no worse than", ""
    return _Verdict(outcome, f"{task}: {metric} {words} the {against}'s{by}: {_values(report, comparison)}.")


def _is_better(comparison: Comparison, low: float, *, level: float) -> bool:
    """By the test, or by the interval in a report from before there were p-values."""
    return low > 0 if math.isnan(comparison.p_value) else comparison.p_value <= level


def _worse_than_best(report: EvalReport, policy: PromotionPolicy, *, task: str) -> Iterator[str]:
    """Where the report compares with the best earlier champion: that it may be worse than that one by a margin."""
    if not any(found.against == BEST for found in report.comparisons):
        return
    metric = deciding(report, policy, task)
    comparison, margin = report.comparison(BEST, task, metric), margin_of(report, policy, task, metric)
    if problems := list(_incomparable(report, policy, task=task, against=BEST)):
        yield from problems
    elif comparison is None or not math.isfinite(comparison.low):
        yield f"{task}: the difference in {metric} to the {_NAMES[BEST]} is not a finite number."
    elif _gain(report, comparison)[1] < -margin:
        yield (
            f"{task}: {metric} may be worse than the {_NAMES[BEST]}'s by more than the margin of {margin:g}: "
            f"{_values(report, comparison)}."
        )


def _gain(report: EvalReport, comparison: Comparison) -> tuple[float, float, float]:
    """(difference, low, high), turned round where lower is better: above 0 is always an improvement."""
    metric = report.metric(comparison.task, comparison.metric)
    if metric is not None and metric.higher_is_better is False:
        return -comparison.difference, -comparison.high, -comparison.low
    return comparison.difference, comparison.low, comparison.high


def _values(report: EvalReport, comparison: Comparison) -> str:
    ours, theirs = (report.mean(model, comparison.task, comparison.metric) for model in (CANDIDATE, comparison.against))
    return f"{_number(ours)} against {_number(theirs)}, difference {_difference(comparison)}"


def _difference(comparison: Comparison) -> str:
    found = difference(comparison.difference, comparison.low, comparison.high, digits=4)
    return f"{found} on {comparison.n} examples"


def _number(value: float | None) -> str:
    return number(value, digits=4, none="nothing")
