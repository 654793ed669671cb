"""How often drift alarms: over random halves of the same texts hardly ever, and for another domain always."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mtl.config.watch import WatchConfig
from mtl.evaluation.drift.compare import drifted
from mtl.evaluation.drift.domain import tell_apart
from mtl.evaluation.drift.records import Bars, Domain
from mtl.sources.demo.corpus import articles

SHARED = Path(__file__).parents[4] / "shared" / "data"
BARS = Bars(WatchConfig().drift_auc, WatchConfig().drift_p)
pytestmark = pytest.mark.slow
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the optional folder ../shared/data is not here")


def rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(SHARED / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def alarms(found: Sequence[Domain]) -> int:
    return sum(drifted(its, BARS) for its in found)


def halves(texts: Sequence[str], size: int, splits: int) -> list[Domain]:
    drawn = [random.Random(seed).sample(list(texts), 2 * size) for seed in range(splits)]
    return [tell_apart(its[:size], its[size:], seed=seed) for seed, its in enumerate(drawn)]


def test_halves_of_the_demos_articles_do_not_alarm() -> None:
    found = halves(distinct([row["article"] for row in articles(1, 1000)]), 60, 100)
    assert alarms(found) <= 5
    assert sum(its.p <= 0.05 for its in found) <= 11, "the p-value is what it says (0.99 of binomial 100, 0.05)"


@real
def test_halves_of_real_passages_do_not_alarm() -> None:
    assert alarms(halves(distinct([row["article"] for row in rows("race/train")]), 100, 100)) <= 5


@real
def test_real_news_are_told_from_the_demos_ten_times_in_ten() -> None:
    news = distinct([row["article"] for row in rows("cnn_dailymail/train")])
    demo = [row["article"] for row in articles(1, 300)]
    pairs = [(random.Random(seed).sample(demo, 100), random.Random(seed).sample(news, 100)) for seed in range(10)]
    assert alarms([tell_apart(*pair, seed=seed) for seed, pair in enumerate(pairs)]) == 10


@real
def test_passages_of_middle_schools_are_told_from_those_of_high_schools_ten_times_in_ten() -> None:
    race = rows("race/train")
    middle, high = (distinct([row["article"] for row in race if row["level"] == level]) for level in ("middle", "high"))
    pairs = [(random.Random(seed).sample(high, 100), random.Random(seed).sample(middle, 100)) for seed in range(10)]
    assert alarms([tell_apart(*pair, seed=seed) for seed, pair in enumerate(pairs)]) == 10
