from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mtl.tasks.mcq_requests import ALL, choose, pack

LABELS = st.lists(st.sampled_from(["Easy", "Medium", "Hard"]), min_size=1, max_size=7).map(sorted)
SHARES = {"all": 0.4, "one": 0.2, "level": 0.2, "subset": 0.2}


@given(LABELS, st.integers(1, 4), st.integers())
def test_requests_are_repeatable_ordered_and_leave_no_question_out(labels: list[str], wanted: int, seed: int) -> None:
    first = choose(labels, shares=SHARES, wanted=wanted, rng=random.Random(seed))
    assert first == choose(labels, shares=SHARES, wanted=wanted, rng=random.Random(seed))
    assert 1 <= len(first) <= wanted + 1
    assert {i for choice in first for i in choice} == set(range(len(labels)))
    assert all(choice and list(choice) == sorted(set(choice)) for choice in first)
    counts = [tuple(sorted(labels[i] for i in choice)) for choice in first[:wanted]]
    assert len(set(counts)) == len(counts)


def test_evaluation_asks_once_for_all() -> None:
    assert choose(["Easy", "Hard", "Hard"], shares=ALL, wanted=1, rng=random.Random(1)) == [(0, 1, 2)]


def test_the_shares_of_kinds_are_those_configured() -> None:
    labels = ["Easy", "Easy", "Medium", "Hard"]
    for kind, sizes in {"one": {1}, "level": {1, 2}, "subset": {1, 2, 3, 4}, "all": {4}}.items():
        drawn = Counter(
            len(choose(labels, shares={kind: 1.0}, wanted=1, rng=random.Random(seed))[0]) for seed in range(200)
        )
        assert set(drawn) == sizes, kind


def test_a_subset_leaves_out_each_difficulty_as_often_as_it_asks_for_any_count_of_it() -> None:
    labels = ["Easy"] * 2 + ["Medium"] * 2 + ["Hard"] * 2
    asked = Counter(
        sum(labels[i] == "Hard" for i in choose(labels, shares={"subset": 1.0}, wanted=1, rng=random.Random(seed))[0])
        for seed in range(900)
    )
    assert all(0.25 < asked[count] / 900 < 0.42 for count in (0, 1, 2))


@given(st.lists(st.integers(1, 10), min_size=1, max_size=8))
def test_packing_keeps_every_question_once_in_order_and_never_overfills(sizes: list[int]) -> None:
    choice = tuple(range(len(sizes)))
    runs = pack(choice, lambda run: sum(sizes[i] for i in run) <= 10)
    assert sorted(i for run in runs for i in run) == list(choice)
    assert all(list(run) == sorted(run) for run in runs)
    assert all(sum(sizes[i] for i in run) <= 10 for run in runs)
    assert len(runs) <= max(1, sum(sizes) * 2 // 10 + 1)


def test_packing_deals_evenly_where_that_fits_and_fills_up_where_it_does_not() -> None:
    assert pack((0, 1, 2, 3, 4), lambda run: len(run) <= 3) == [(0, 2, 4), (1, 3)]
    sizes = [5, 1, 5, 1, 1]
    assert pack((0, 1, 2, 3, 4), lambda run: sum(sizes[i] for i in run) <= 8) == [(0, 1), (2, 3, 4)]
