"""The policy of the gate: what it asks for, and which metric decides about a task of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from mtl.config.gate import GateConfig
from mtl.data.manifest import SplitCounts
from mtl.evaluation.report import CANDIDATE, EvalReport
from mtl.fingerprint import sha256_json
from mtl.metrics.reading import GUESSABLE, needs_reader

RULES = 5
"""Raised with every change of what `decide` does with the same report and policy."""
GUARDED_FROM = 30
"""Pairs from which a guarded metric or a group is looked at, also where `min_examples` asks for more: the reader reads
some things of a sample only."""


@dataclass(frozen=True, slots=True)
class PromotionPolicy:
    """metrics: task -> metric that decides; a task of the report that is not named is decided by its own first metric.

    margins: task -> metric -> loss that does not count; a metric that is not named has the margin that its task states.
    floors: task -> metric -> worst acceptable mean (the highest, where lower is better). guards: task -> metrics that
    must not be clearly worse. traffic_guard: the same, on logged texts. without_reader: task -> metric that decides
    instead of one that comes from the reader, where that reader answered less than `reader_at_least` of the data set's
    own questions correctly, or there is none.
    guard_groups: hold the deciding metric to the same in each group (difficulty) that has
    `min_examples`. confidence is that of the report's intervals.
    """

    metrics: Mapping[str, str]
    margins: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    floors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    guards: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    traffic_guard: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    without_reader: Mapping[str, str] = field(default_factory=dict)
    reader_at_least: float = 0.5
    guard_groups: bool = True
    min_examples: int = 30
    confidence: float = 0.95

    @property
    def version(self) -> str:
        """Version of the rules and a hash of the parameters: equal versions decide alike."""
        return f"{RULES}-{sha256_json(asdict(self))[:8]}"


def policy_from(gate: GateConfig) -> PromotionPolicy:
    """The policy that a configuration asks for."""
    values = {name: getattr(gate, name) for name in (f.name for f in fields(PromotionPolicy))}
    tuples = {name: {task: tuple(its) for task, its in values[name].items()} for name in ("guards", "traffic_guard")}
    return PromotionPolicy(**values | tuples)


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


def margin_of(report: EvalReport, policy: PromotionPolicy, task: str, name: str) -> float:
    """The loss that does not count: the policy's, or the one that the task states."""
    metric = report.metric(task, name)
    stated = 0.0 if metric is None else metric.margin
    return policy.margins.get(task, {}).get(name, stated)


def tasks_of(report: EvalReport, policy: PromotionPolicy) -> list[str]:
    return list(dict.fromkeys([*policy.metrics, *report.metrics]))


def deciding(report: EvalReport, policy: PromotionPolicy, task: str) -> str:
    """The metric that decides about a task of the report."""
    name = preferred_metric(report, policy, task)
    return name if trusts_reader(report, policy) or not needs_reader(name) else without_reader(report, policy, task)


def preferred_metric(report: EvalReport, policy: PromotionPolicy, task: str) -> str:
    """The metric that decides where the reader is good enough."""
    return policy.metrics.get(task) or _own_first(report, task)


def without_reader(report: EvalReport, policy: PromotionPolicy, task: str) -> str:
    return policy.without_reader.get(task) or _own_first(report, task)


def _own_first(report: EvalReport, task: str) -> str:
    """The first metric that the task has without a reader."""
    return next(metric.name for metric in report.metrics[task] if not needs_reader(metric.name))


def reader_share(report: EvalReport) -> float | None:
    """The share of the data set's own questions that the reader answered correctly; None where it answered none."""
    share: float | None = report.settings.get("reader", {}).get("reference_with_passage")
    return share


def trusts_reader(report: EvalReport, policy: PromotionPolicy) -> bool:
    share = reader_share(report)
    return share is not None and share >= policy.reader_at_least


def guards_of(report: EvalReport, policy: PromotionPolicy, task: str) -> list[str]:
    """The guarded metrics: those of the reader only if it is good enough.

    `guessable` stands against no candidate whose questions are as hard to guess as the data set's own: questions with
    wrong keys are the hardest to guess, and whoever gets the keys right makes it rise.
    """
    named, trusted = policy.guards.get(task, ()), trusts_reader(report, policy)
    guards = [name for name in named if trusted or not needs_reader(name)]
    ours = report.mean(CANDIDATE, task, GUESSABLE)
    usual = report.settings.get("reader", {}).get("reference_without_passage")
    excused = ours is not None and usual is not None and ours <= usual
    return [name for name in guards if not (excused and name == GUESSABLE)]


def guarded_from(policy: PromotionPolicy) -> int:
    return min(policy.min_examples, GUARDED_FROM)
