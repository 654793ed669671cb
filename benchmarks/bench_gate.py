"""How often is the gate right: about one candidate, and over years of nights?

    python benchmarks/bench_gate.py [--quick]

1. Rates. `mtl.promotion.decide` judges reports about synthetic scores of single examples: pairs that are correlated, at
   the number of examples, the margins and the deviations of each shipped configuration. Effects are in standard errors
   of the mean difference. Beside each rate stands that of the normal approximation, which takes a microsecond.
2. Agreement of the two on the same reports.
3. Trade-off: what a margin of so many standard errors does, and how many examples it takes.
4. Years: 1,000 years of 365 nights by the normal approximation. harm: share of years at whose end the champion is truly
   below an earlier champion by more than a margin on some task. regret: 1 - gain / gain of an oracle that knows the
   true qualities and promotes what is better by a margin on a task and worse by one on none. compared: share of nights
   on which an earlier champion stands higher than today's, and the candidate is compared with it too: by any task is
   what is shipped; by the mean over the tasks there is hardly ever one, as each promotion raises the mean.

Prints one JSON object as its last line. Exits with 1 if a rate misses its threshold by more than three standard errors
of the simulation. Of the years, only those of the shipped rule (by any task) must hold.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtl.config.retrain import load_config
from mtl.evaluation.bootstrap import Interval, paired_intervals
from mtl.evaluation.power import Power, least_margin, level_of
from mtl.evaluation.report import BASE, CANDIDATE, CHAMPION, Comparison, EvalReport, TaskResult
from mtl.promotion import PromotionPolicy, decide
from mtl.task import Metric

Array = NDArray[np.float64]
CONFIDENCE = 0.95
BETTER, EQUAL, HARM, BELOW, GAIN = {2: 0.80, 3: 0.75}, 0.05, 0.025, 0.05, 0.9
"""At least (by the number of tasks), at most, at most, at most, at least. With three tasks, a gain has to be surer, and
there are two others that can seem worse by chance."""
YEARS, NIGHTS, TREND = 1000, 365, 0.01
"""TREND: by how many standard errors the candidates get better each night."""
QUESTIONS = 4
"""Of an example of mcq."""


@dataclass(frozen=True)
class Scores:
    """One task's deciding metric. mean: of the champion, for scores that are shares; None for others, such as ROUGE."""

    name: str
    n: int
    margin: float
    deviation: float
    mean: float | None = None

    @property
    def error(self) -> float:
        """The standard error of the mean difference."""
        return self.deviation / math.sqrt(self.n)


def setups() -> dict[str, list[Scores]]:
    """The shipped configurations, with the examples that they evaluate and the deviations that were measured."""
    measured = {
        "demo": [("rougeLsum", 120, 0.15, None), ("usable", 120, 0.20, 0.85)],
        "flan-t5-small": [("rougeLsum", 200, 0.10, None), ("usable", 200, 0.35, 0.5)],
        "flan-t5-base": [("rougeLsum", 2000, 0.10, None), ("usable", 1000, 0.35, 0.5)],
    }
    found = {}
    for name, tasks in measured.items():
        margins = load_config(Path(name)).gate.margins
        known = {metric: margin for its in margins.values() for metric, margin in its.items()}
        found[name] = [Scores(metric, n, known[metric], deviation, mean) for metric, n, deviation, mean in tasks]
    three = (*found["flan-t5-small"], Scores("third", 200, 0.0, 0.1))
    return found | {"three tasks": [replace(its, margin=least_margin(3) * its.error) for its in three]}


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="400 reports for each rate instead of 10,000")
    reports = 400 if parser.parse_args().quick else 10_000
    began = time.perf_counter()
    rates = [row for name, tasks in setups().items() for row in _rates(name, tasks, reports)]
    _print("Rates of promotion", rates)
    curve = _curve()
    _print("What a margin does (two tasks, normal approximation)", curve)
    years = list(_years())
    _print(f"{YEARS:,} years of {NIGHTS} nights", years)
    missed = [_told(row) for row in (*rates, *years) if not row["ok"]]
    agreement = sum(row["agreed"] for row in rates) / len(rates)
    if agreement < 0.97:
        missed.append(f"decide and the normal approximation agree on {agreement:.3f} of the reports")
    document = {
        "rates": rates,
        "agreement": round(agreement, 4),
        "reports": reports * len(rates),
        "curve": curve,
        "years": years,
        "missed": missed,
        "passed": not missed,
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(f"decide and the normal approximation agree on {agreement:.1%} of {document['reports']:,} reports")
    for line in missed:
        print(f"MISSED: {line}")
    print(json.dumps(document))
    sys.exit(bool(missed))


# 1 and 2: rates of `decide`


def _rates(name: str, tasks: Sequence[Scores], reports: int) -> Iterator[dict[str, Any]]:
    """One row for each true effect (standard errors, a task each) that has a threshold, and some without."""
    margins = [its.margin / its.error for its in tasks]
    wanted = list(_effects([its.name for its in tasks], margins))
    for number, (what, effects, least, most) in enumerate(wanted):
        rng = np.random.default_rng([number, len(name)])
        decided, approximated = _decisions(tasks, effects, reports, rng)
        rate, exact = float(decided.mean()), _approximate_rate(effects, margins, rng)
        error = 3 * math.sqrt(max(rate * (1 - rate), 1e-3) / reports)
        close = 3 * math.sqrt(exact * (1 - exact) / _DRAWS)
        yield {
            "setup": name,
            "margins": " ".join(f"{margin:.1f}" for margin in margins),
            "true effect": what,
            "rate": round(rate, 4),
            "± ": round(error, 4),
            "approximation": round(exact, 4),
            "agreed": round(float((decided == approximated).mean()), 4),
            "threshold": f"≥ {least}" if least else f"≤ {most}" if most < 1 else "",
            "ok": least - error <= rate <= most + error and least - close <= exact <= most + close,
        }


def _effects(names: Sequence[str], margins: Sequence[float]) -> Iterator[tuple[str, list[float], float, float]]:
    """(in words, the effects, the rate is at least, and at most)"""
    others = [0.0] * (len(names) - 1)
    for place, name in enumerate(names):
        yield f"better by 3 on {name}", _put(others, place, 3.0), BETTER[len(names)], 1.0
    yield "equal", [0.0, *others], 0.0, EQUAL
    for place, name in enumerate(names):
        for gain in (3.0, 6.0):
            effects = _put([gain] * len(others), place, -margins[place])
            yield f"worse by the margin on {name}, better by {gain:g} elsewhere", effects, 0.0, HARM
    for gain in (2.0, 4.0):
        yield f"better by {gain:g} on {names[0]}", [gain, *others], 0.0, 1.0


def _put(others: Sequence[float], place: int, value: float) -> list[float]:
    return [*others[:place], value, *others[place:]]


def _decisions(
    tasks: Sequence[Scores], effects: Sequence[float], reports: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(what `decide` says, what the approximation says) of so many reports."""
    policy = PromotionPolicy(
        metrics={its.name: its.name for its in tasks}, margins={its.name: {its.name: its.margin} for its in tasks}
    )
    decided, approximated = [], []
    for start in range(0, reports, _BATCH):
        size, seed = min(_BATCH, reports - start), int(rng.integers(2**31))
        columns = []
        for its, effect in zip(tasks, effects, strict=True):
            champion, candidate = _scores(its, effect * its.error, size, rng)
            columns.append(paired_intervals(candidate - champion, seed=seed, confidence=CONFIDENCE))
        for found in zip(*columns, strict=True):
            decided.append(decide(_report(tasks, found), policy).promoted)
            z = np.array([one.difference / (one.deviation / math.sqrt(one.n)) for one in found])
            margins = [its.margin / (one.deviation / math.sqrt(one.n)) for its, one in zip(tasks, found, strict=True)]
            approximated.append(bool(_promoted(z, np.array(margins)).all()))
    return np.array(decided), np.array(approximated)


_BATCH, _DRAWS = 400, 400_000
_SIDE = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def _scores(its: Scores, effect: float, reports: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Scores of champion and candidate, examples x reports, whose true means differ by `effect`.

    ROUGE: three texts in ten are equal, and the differences of the others have long tails. Shares: of QUESTIONS
    questions, some with the same outcome for both models, the others independent.
    """
    size = (its.n, reports)
    if its.mean is None:
        champion = rng.normal(0.3, 0.12, size)
        changed = rng.random(size) < 0.7
        noise = rng.laplace(effect / 0.7, its.deviation / math.sqrt(0.7 * 2), size)
        return champion, champion + np.where(changed, noise, 0.0)
    mean = its.mean
    apart = QUESTIONS * its.deviation**2 / (2 * mean * (1 - mean))
    assert apart <= 1, f"{its.name}: no shares have this deviation"
    other = min(1.0, max(0.0, mean + effect / apart))
    own = rng.binomial(QUESTIONS, apart, size)
    same = rng.binomial(QUESTIONS - own, mean)
    return (same + rng.binomial(own, mean)) / QUESTIONS, (same + rng.binomial(own, other)) / QUESTIONS


def _report(tasks: Sequence[Scores], found: Sequence[Interval]) -> EvalReport:
    """A report with these comparisons; the champion scores 0.5 on everything."""
    return EvalReport(
        results={
            BASE: {},
            CHAMPION: {its.name: TaskResult(its.n, {its.name: 0.5}) for its in tasks},
            CANDIDATE: {
                its.name: TaskResult(its.n, {its.name: 0.5 + one.difference})
                for its, one in zip(tasks, found, strict=True)
            },
        },
        metrics={its.name: (Metric(its.name),) for its in tasks},
        comparisons=tuple(
            Comparison(
                CHAMPION,
                its.name,
                None,
                its.name,
                n=one.n,
                unpaired=0,
                difference=one.difference,
                low=one.low,
                high=one.high,
                deviation=one.deviation,
                p_value=one.not_above,
            )
            for its, one in zip(tasks, found, strict=True)
        ),
        samples=(),
        confidence=CONFIDENCE,
        seconds={},
        settings={"reader": {"reference_with_passage": 1.0}},
    )


def _promoted(z: Array, margins: Array | float) -> NDArray[np.bool_]:
    """The rule of `decide` on differences in standard errors (... x tasks), by the normal distribution."""
    better = NormalDist().inv_cdf(1 - level_of(CONFIDENCE, z.shape[-1]))
    worse = (z + _SIDE < 0) | (z - _SIDE < -np.asarray(margins))
    return np.atleast_1d(~worse.any(-1) & (z > better).any(-1))


def _approximate_rate(effects: Sequence[float], margins: Sequence[float], rng: np.random.Generator) -> float:
    z = np.array(effects) + rng.normal(size=(_DRAWS, len(effects)))
    return float(_promoted(z, np.array(margins)).mean())


# 3: the trade-off


def _curve() -> list[dict[str, Any]]:
    """Rates and examples by the width of both margins; the last row is the rule before there were margins."""
    rng = np.random.default_rng(3)
    rows = []
    for margin in (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 8.0):
        rates = [_approximate_rate(effects, [margin] * 2, rng) for effects in ([3, 0], [0, 0], [-margin, 6])]
        rouge = Power("summarize", "rougeLsum", 1, 0.1, margin=0.01, tasks=2, confidence=CONFIDENCE)
        usable = Power("mcq", "usable", 1, 0.35, margin=0.05, tasks=2, confidence=CONFIDENCE)
        needed = [math.ceil((margin * its.deviation / its.margin) ** 2) for its in (rouge, usable)]
        rows.append(_curve_row(f"{margin:g} standard errors", rates, needed))
    z = rng.normal(size=(_DRAWS, 2))
    former = [float(_former(z + np.array(effects)).mean()) for effects in ([3, 0], [0, 0], [-3.5, 6])]
    return [*rows, _curve_row("rules before 5, tolerance 0", former, ["", ""])]


def _curve_row(name: str, rates: Sequence[float], needed: Sequence[Any]) -> dict[str, Any]:
    better, equal, harm = (round(rate, 4) for rate in rates)
    return {
        "margin": name,
        "better by 3": better,
        "equal": equal,
        "worse by a margin": harm,
        "examples for rougeLsum 0.01": needed[0],
        "for usable 0.05": needed[1],
    }


def _former(z: Array) -> NDArray[np.bool_]:
    """Better: interval above 0. Worse: mean below 0 and interval reaching below 0."""
    return np.atleast_1d(~((z < 0) & (z - _SIDE < 0)).any(-1) & (z > _SIDE).any(-1))


# 4: years


def _years() -> Iterator[dict[str, Any]]:
    for spread in (1, 2, 3):
        for trend in (0.0, TREND):
            for reused in (False, True):
                for choice in ("none", "by the mean", "by any task"):
                    yield _year(spread, trend, reused=reused, choice=choice)


class _Champions:
    """The champions of each year in the order of their promotion: years x places x tasks.

    noise: what the examples say of a model beside its true quality. standing: measured gains since the first champion,
    added up over the promotions. best: place of the earlier champion that stands higher than today's, or -1.
    """

    def __init__(self, noise: Array, choice: str) -> None:
        shape = (YEARS, _PLACES, 2)
        self.quality, self.noise, self.standing = np.zeros(shape), np.zeros(shape), np.full(shape, -np.inf)
        self.noise[:, 0], self.standing[:, 0] = noise, 0.0
        self.count, self.best = np.ones(YEARS, dtype=np.int64), np.full(YEARS, -1)
        self._choice = choice

    @property
    def present(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Index of today's champions."""
        return np.arange(YEARS), self.count - 1

    def promote(self, where: NDArray[np.bool_], quality: Array, noise: Array, gain: Array) -> None:
        """Append the candidates of some years."""
        years = np.flatnonzero(where)
        last, place = (years, self.count[years] - 1), (years, self.count[years])
        self.quality[place], self.noise[place] = quality[years], noise[years]
        self.standing[place] = self.standing[last] + gain[years]
        self.count[years] += 1
        if self._choice != "none":
            above = self.standing[years] - self.standing[place][:, None]
            higher = above.mean(2) if self._choice == "by the mean" else above.max(2)
            self.best[years] = np.where(higher.max(1) > 0, higher.argmax(1), -1)

    def fall(self) -> Array:
        """By how much today's champion is below the best earlier one on some task, truly."""
        there = np.arange(_PLACES) < self.count[:, None]
        peak = np.where(there[..., None], self.quality, -np.inf).max(1)
        return np.asarray((peak - self.quality[self.present]).max(1))


_PLACES = 64


def _year(spread: float, trend: float, *, reused: bool, choice: str, margin: float = 3.5) -> dict[str, Any]:
    """All years at once, in standard errors of a difference, of which each model brings a half of the variance.

    reused: the same examples every night, so that a champion keeps the luck that it was promoted with. choice: of the
    best earlier champion, which the candidate is compared with if it stands higher than today's, by the mean over the
    tasks or on any task.
    """
    rng = np.random.default_rng(17)

    def noise() -> Array:
        return rng.normal(size=(YEARS, 2)) / math.sqrt(2)

    champions, oracle, compared = _Champions(noise(), choice), np.zeros((YEARS, 2)), 0.0
    for night in range(NIGHTS):
        quality, luck = trend * night + spread * rng.normal(size=(YEARS, 2)), noise()
        known = champions.noise[champions.present] if reused else noise()
        gain = quality + luck - champions.quality[champions.present] - known
        promoted = _promoted(gain, margin)
        if choice != "none":
            best, there = (np.arange(YEARS), champions.best), champions.best >= 0
            known = champions.noise[best] if reused else noise()
            kept = (quality + luck - champions.quality[best] - known - _SIDE >= -margin).all(1)
            promoted &= kept | ~there
            compared += there.mean() / NIGHTS
        champions.promote(promoted, quality, luck, gain)
        true = quality - oracle
        taken = (true > -margin).all(1) & (true >= margin).any(1)
        oracle = np.where(np.atleast_1d(taken)[:, None], quality, oracle)
    harm = float((champions.fall() > margin).mean())
    gained = champions.quality[champions.present].mean()
    return {
        "spread": spread,
        "trend": trend,
        "examples": "reused" if reused else "fresh",
        "best earlier": choice,
        "compared": round(compared, 2),
        "harm": round(harm, 4),
        "gain": round(float(gained), 3),
        "oracle": round(float(oracle.mean()), 3),
        "regret": round(float(1 - gained / oracle.mean()), 3),
        "promotions": round(float(champions.count.mean()) - 1, 1),
        "ok": choice != "by any task" or bool(harm <= BELOW and gained >= GAIN * oracle.mean()),
    }


# Tables


def _print(title: str, rows: Sequence[dict[str, Any]]) -> None:
    names = list(rows[0])
    cells = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(names))]
    print(f"\n{title}")
    for line in cells:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip(), flush=True)


def _told(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if name != "ok")


if __name__ == "__main__":
    main()
