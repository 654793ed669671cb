from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.config.data import MixtureConfig
from mtl.errors import ConfigError
from mtl.mixture import order, rates, shares

SIZES = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 40), min_size=1)
RULES = st.sampled_from(
    [
        MixtureConfig(kind="proportional"),
        MixtureConfig(kind="capped", cap=7),
        MixtureConfig(kind="temperature", temperature=3),
        MixtureConfig(kind="temperature", temperature=2, cap=9),
    ]
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (MixtureConfig(), {"a": 0.9, "b": 0.1}),
        (MixtureConfig(kind="capped", cap=100), {"a": 0.5, "b": 0.5}),
        (MixtureConfig(kind="temperature", temperature=2), {"a": 0.75, "b": 0.25}),
        (MixtureConfig(kind="explicit", rates={"a": 1, "b": 3}), {"a": 0.25, "b": 0.75}),
    ],
)
def test_rules(rule: MixtureConfig, expected: dict[str, float]) -> None:
    assert rates({"a": 900, "b": 100}, rule) == pytest.approx(expected)


@given(SIZES, RULES)
def test_rates_add_up_to_one(sizes: dict[str, int], rule: MixtureConfig) -> None:
    assert sum(rates(sizes, rule).values()) == pytest.approx(1)


def test_a_task_without_examples_has_no_rate() -> None:
    assert rates({"a": 5, "b": 0}, MixtureConfig()) == {"a": 1.0}


def test_explicit_rates_name_the_tasks_there_are() -> None:
    rule = MixtureConfig(kind="explicit", rates={"mcqs": 1, "summarize": 0})
    with pytest.raises(ConfigError) as caught:
        rates({"mcq": 5, "summarize": 5}, rule)
    assert str(caught.value) == (
        "data.mixture: 3 faults\n"
        "  mixture.rates.mcqs: no such task; did you mean 'mcq'?\n"
        "  mixture.rates.mcq: has examples but no rate\n"
        "  mixture.rates.summarize: must be over 0, got 0.0"
    )


@given(SIZES, RULES, st.integers(0, 200))
def test_shares_add_up_and_are_the_rates_to_within_one(sizes: dict[str, int], rule: MixtureConfig, length: int) -> None:
    its = rates(sizes, rule)
    counts = shares(its, length)
    assert sum(counts.values()) == length
    assert all(abs(counts[task] - rate * length) < 1 for task, rate in its.items())


@given(SIZES, RULES, st.integers(0, 9), st.integers(0, 80))
def test_order_is_repeatable_and_doubles_nothing_before_all_were_seen(
    sizes: dict[str, int], rule: MixtureConfig, seed: int, length: int
) -> None:
    its = rates(sizes, rule)
    epochs = [list(order(sizes, its, seed=seed, epoch=epoch, length=length)) for epoch in range(4)]
    assert epochs[2] == list(order(sizes, its, seed=seed, epoch=2, length=length))
    for task, size in sizes.items():
        drawn = [index for name, index in chain(*epochs) if name == task]
        passes = [drawn[start : start + size] for start in range(0, len(drawn), size)]
        assert all(set(one) <= set(range(size)) and len(set(one)) == len(one) for one in passes)
        assert len(drawn) == 4 * shares(its, length)[task]


def test_epochs_and_seeds_differ_and_tasks_are_interleaved() -> None:
    sizes, its = {"a": 200, "b": 200}, {"a": 0.5, "b": 0.5}
    first = list(order(sizes, its, seed=1, epoch=0, length=200))
    assert first != list(order(sizes, its, seed=1, epoch=1, length=200))
    assert first != list(order(sizes, its, seed=2, epoch=0, length=200))
    halves = Counter(task for task, _ in first[:100])
    assert 25 < halves["a"] < 75
