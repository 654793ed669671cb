"""What a number of examples can show of a difference between two models, by the normal approximation.

A test of n pairs whose differences have the standard deviation s knows their mean to a standard error of s / sqrt(n).
At the level a, it shows a true difference of (z(1 - a) + z(0.8)) standard errors in 80% of cases (Cohen 1988, ch. 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

POWER = 0.8
"""Share of cases in which a difference is shown that is as large as `smallest`."""


def level_of(confidence: float, tasks: int) -> float:
    """The level of the one-sided test for a gain on one of so many tasks (Bonferroni)."""
    return (1 - confidence) / tasks


def least_margin(tasks: int, confidence: float = 0.95) -> float:
    """Standard errors that a margin should be wide (benchmarks/bench_gate.py): with narrower ones, a candidate that is
    better on one task is too often refused because it may be worse on another. At a confidence of 0.95, wider ones than
    4 change nothing; at a higher one, intervals reach further, and margins have to as well."""
    further = NormalDist().inv_cdf((1 + confidence) / 2) - NormalDist().inv_cdf(0.975)
    return (3.5 if tasks <= 2 else 4.0) + max(0.0, round(further, 2))


@dataclass(frozen=True, slots=True)
class Power:
    """The metric that decides one of `tasks` tasks, on n examples. deviation: of the differences of single examples.

    confidence: of the interval of one task, and of all tests for a gain together.
    """

    task: str
    metric: str
    n: int
    deviation: float
    margin: float
    tasks: int
    confidence: float

    @property
    def smallest(self) -> float:
        """The smallest difference that these examples show."""
        return self._errors * self.deviation / math.sqrt(self.n)

    @property
    def needed(self) -> int | None:
        """Examples that show a difference as large as the margin; None for a margin of 0, which no number shows."""
        return math.ceil((self._errors * self.deviation / self.margin) ** 2) if self.margin else None

    @property
    def enough(self) -> int | None:
        """Examples with which the margin is wide enough; None for a margin of 0."""
        return (
            math.ceil((least_margin(self.tasks, self.confidence) * self.deviation / self.margin) ** 2)
            if self.margin
            else None
        )

    @property
    def too_few(self) -> bool:
        """Whether a candidate that is as good as its opponent is often refused because it may be worse."""
        return self.enough is None or self.n < self.enough

    @property
    def wide_enough(self) -> float:
        """The narrowest margin that is wide enough for these examples, rounded up to thousandths."""
        return math.ceil(1000 * least_margin(self.tasks, self.confidence) * self.deviation / math.sqrt(self.n)) / 1000

    @property
    def _errors(self) -> float:
        return NormalDist().inv_cdf(1 - level_of(self.confidence, self.tasks)) + NormalDist().inv_cdf(POWER)

    def sentence(self, *, estimated: bool = False) -> str:
        """For a report and for `mtl doctor`. estimated: the deviation is the metric's usual one, not a measured one."""
        kind = "usual" if estimated else "measured"
        shown = (
            f"{self.task}: {self.n:,} examples show a difference in {self.metric} of {self.smallest:.4f} or more in "
            f"{POWER:.0%} of cases ({kind} standard deviation of the paired differences: {self.deviation:.3f})"
        )
        if self.needed is None:
            return f"{shown}."
        return f"{shown}; a difference of {self.margin:g}, the margin, is shown by {self.needed:,} examples."
