from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from mtl.evaluation.bootstrap import Interval, paired_intervals


def paired_interval(first: list[float], second: list[float], *, seed: int) -> Interval:
    return paired_intervals((np.asarray(first) - np.asarray(second))[:, None], seed=seed)[0]


def test_equal_scores_tie_exactly() -> None:
    interval = paired_interval([0.1, 0.7, 0.3], [0.1, 0.7, 0.3], seed=1)
    assert interval == Interval(0.0, 0.0, 0.0, 3, deviation=0.0, not_above=1.0, not_below=1.0)


def test_a_constant_difference_has_no_width() -> None:
    interval = paired_interval([0.5, 0.75, 1.0], [0.25, 0.5, 0.75], seed=1)
    assert interval == Interval(0.25, 0.25, 0.25, 3, deviation=0.0, not_above=1 / 2001, not_below=1.0)


def test_agrees_with_the_normal_interval() -> None:
    differences = np.random.default_rng(3).normal(0.1, 1.0, size=(4000, 1))
    interval = paired_intervals(differences, seed=5)[0]
    half = 1.96 * differences.std() / math.sqrt(len(differences))
    assert interval.low == pytest.approx(differences.mean() - half, abs=0.004)
    assert interval.high == pytest.approx(differences.mean() + half, abs=0.004)


def test_covers_the_true_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    hits = 0
    for trial in range(200):
        interval = paired_intervals(generator.normal(size=(60, 1)), seed=trial, confidence=0.9, resamples=400)[0]
        hits += interval.low <= 0 <= interval.high
    assert 0.82 <= hits / 200 <= 0.96


def test_swapping_the_sides_mirrors_the_interval() -> None:
    first, second = [0.2, 0.9, 0.4, 0.4], [0.1, 0.8, 0.6, 0.0]
    forward, backward = paired_interval(first, second, seed=2), paired_interval(second, first, seed=2)
    assert (backward.low, backward.high) == pytest.approx((-forward.high, -forward.low))


def test_is_a_function_of_values_and_seed_whatever_columns_stand_beside() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3))
    together = paired_intervals(values, seed=9)
    alone = [paired_intervals(values[:, [i]], seed=9)[0] for i in range(3)]
    for first, second in zip(together, alone, strict=True):
        assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-12)
    assert paired_intervals(values, seed=9) == together
    assert paired_intervals(values, seed=10) != together


def test_pairs_without_a_value_do_not_count() -> None:
    values = np.array([[0.5], [np.nan], [0.5], [np.nan]])
    (interval,) = paired_intervals(values, seed=1)
    assert (interval.difference, interval.low, interval.high, interval.n) == (0.5, 0.5, 0.5, 2)


@pytest.mark.parametrize(("values", "difference"), [([], math.nan), ([0.5], 0.5), ([math.nan, math.nan], math.nan)])
def test_fewer_than_two_pairs_have_no_interval(values: list[float], difference: float) -> None:
    interval = paired_intervals(np.array(values).reshape(-1, 1), seed=1)[0]
    unknown = (interval.low, interval.high, interval.deviation, interval.not_above, interval.not_below)
    assert all(map(math.isnan, unknown))
    assert interval.difference == pytest.approx(difference, nan_ok=True)


@pytest.mark.parametrize("resamples", [100, 800])
def test_resampling_in_chunks_is_the_whole_resampling(resamples: int) -> None:
    """7,000 examples: more than 599 of the draws do not fit into one chunk."""
    values = np.random.default_rng(0).normal(size=(7000, 1))
    drawn = np.random.default_rng(4).integers(0, 7000, size=(resamples, 7000))
    low, high = np.quantile(values[:, 0][drawn].mean(axis=1), [0.025, 0.975], method="weibull")
    (interval,) = paired_intervals(values, seed=4, resamples=resamples)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-5)  # spread by 0.02%


def test_intervals_of_few_examples_are_as_sure_as_they_say() -> None:
    """20 pairs without a difference: the interval lies above 0 in 2.5% of cases, and unspread it would in 3.6%."""
    values = np.random.default_rng(5).normal(size=(20, 2000))
    above = np.mean([interval.low > 0 for interval in paired_intervals(values, seed=1, resamples=999)])
    assert above == pytest.approx(0.025, abs=0.007)


def test_p_values_say_what_the_interval_says() -> None:
    values = np.random.default_rng(8).normal(0.1, 1.0, size=(400, 300))
    for interval in paired_intervals(values, seed=2):
        assert (interval.not_above <= 0.025) == (interval.low > 0)
        assert (interval.not_below <= 0.025) == (interval.high < 0)
    (interval,) = paired_intervals(values[:, :1], seed=2)
    error = interval.deviation / math.sqrt(400)
    assert interval.deviation == pytest.approx(values[:, 0].std(ddof=1))
    assert interval.not_above == pytest.approx(NormalDist().cdf(-interval.difference / error), abs=0.02)
