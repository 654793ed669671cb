from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from mtl.evaluation.bootstrap import paired_intervals
from mtl.evaluation.power import Power, least_margin, level_of

POWER = Power("summarize", "rougeLsum", 2000, deviation=0.1, margin=0.01, tasks=2, confidence=0.95)


def test_the_smallest_difference_is_that_of_the_textbook() -> None:
    """Two tasks are tested at 2.5% each: (1.960 + 0.842) standard errors (Cohen 1988, table 2.4.1)."""
    assert POWER.smallest == pytest.approx(2.8016 * 0.1 / math.sqrt(2000), rel=1e-4)
    assert POWER.needed == math.ceil((2.8016 * 0.1 / 0.01) ** 2)
    assert dataclasses.replace(POWER, n=POWER.needed).smallest == pytest.approx(0.01, rel=1e-3)


def test_more_tasks_take_a_surer_gain_and_a_wider_margin() -> None:
    assert (level_of(0.95, 1), level_of(0.95, 2)) == pytest.approx((0.05, 0.025))
    one, two, three = (dataclasses.replace(POWER, tasks=tasks) for tasks in (1, 2, 3))
    assert one.smallest < two.smallest < three.smallest
    assert (least_margin(2), least_margin(3)) == (3.5, 4.0)
    assert least_margin(2, 0.99) == 3.5 + 0.62  # the interval reaches so much further: 2.58 errors instead of 1.96


@pytest.mark.parametrize(("n", "too_few"), [(1224, True), (1225, False)])
def test_a_margin_is_wide_enough_from_three_and_a_half_standard_errors_on(n: int, too_few: bool) -> None:
    its = dataclasses.replace(POWER, n=n)
    assert (its.enough, its.too_few) == (1225, too_few)
    assert (its.wide_enough > 0.01) == too_few
    assert not dataclasses.replace(its, margin=its.wide_enough).too_few


def test_no_number_of_examples_is_enough_for_a_margin_of_nothing() -> None:
    its = dataclasses.replace(POWER, margin=0.0)
    assert (its.needed, its.enough, its.too_few) == (None, None, True)
    assert "the margin" not in its.sentence()


def test_it_says_in_a_sentence_what_the_examples_show() -> None:
    assert POWER.sentence(estimated=True) == (
        "summarize: 2,000 examples show a difference in rougeLsum of 0.0063 or more in 80% of cases (usual standard "
        "deviation of the paired differences: 0.100); a difference of 0.01, the margin, is shown by 785 examples."
    )


def test_the_gates_own_interval_shows_that_difference_in_80_percent_of_cases() -> None:
    its = dataclasses.replace(POWER, n=200)
    values = np.random.default_rng(1).normal(its.smallest, its.deviation, size=(200, 1500))
    shown = [interval.not_above <= 0.025 for interval in paired_intervals(values, seed=2, resamples=999)]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.03)
