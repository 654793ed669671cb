"""Comparisons of texts, their corrections, and the rule for an alarm."""

from __future__ import annotations

import random

import pytest

from mtl.evaluation.drift.compare import FEWEST_TEXTS, apart, compare_task, corrected, drifted, holm, task_mix
from mtl.evaluation.drift.records import Bars, Comparison, Difference, Domain, Text
from mtl.fingerprint import sha256_bytes
from tests.evaluation.drift.test_domain import texts

BARS = Bars(auc=0.65, p=0.01)


def made(number: int, *, seed: int, tokens: int = 40, hard: float = 0.5) -> list[Text]:
    rng = random.Random(seed)
    return [
        Text(
            sha256_bytes(f"{seed} {place}".encode())[:16],
            text,
            tokens=tokens + rng.randrange(20),
            unknown=0.0,
            labels={"Hard": 1.0} if rng.random() < hard else {"Easy": 1.0},
        )
        for place, text in enumerate(texts(number, seed=seed))
    ]


@pytest.mark.parametrize(
    ("domain", "alarm"),
    [
        (None, False),
        (Domain(0.66, 0.009), True),
        (Domain(0.65, 0.001), False),  # the bar itself
        (Domain(0.9, 0.01), False),
        (Domain(0.9, 0.2), False),  # few texts
        (Domain(0.55, 0.001), False),  # many texts that hardly differ
        (Domain(0.2, 1.0), False),
    ],
)
def test_an_alarm_needs_both(domain: Domain | None, alarm: bool) -> None:
    assert drifted(domain, BARS) is alarm


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], []),
        ([0.02], [0.02]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
    ],
)
def test_holm(values: list[float], found: list[float]) -> None:
    assert holm(values) == pytest.approx(found)


def test_all_differences_of_a_report_are_corrected_together() -> None:
    mix = Difference("task mix", {"a": 1.0}, {"a": 1.0}, 0.0, 0.02)
    one = compare_task("mcq", made(60, seed=1), made(60, seed=2, tokens=80), most=100, seed=0, permutations=99)
    number = len(one.differences) + 1
    (found,) = corrected([Comparison("new rows", (one,), mix)])
    assert found.mix is not None and found.mix.p >= 0.02 * (number - 1) - 1e-9
    length = found.tasks[0].differences[0]
    assert length.p == pytest.approx(number * one.differences[0].p, abs=1e-5)
    assert found.tasks[0].domain == one.domain, "it alone decides, and is no part of the correction"


def test_length_and_difficulty_are_told() -> None:
    old, new = made(80, seed=1), made(80, seed=2, tokens=45, hard=0.9)
    found = compare_task("mcq", old, new, most=100, seed=0, kind="difficulty", permutations=199)
    length, unknown, mix = found.differences
    assert [its.name for its in found.differences][2] == "difficulty mix"
    assert length.fresh == pytest.approx(54, abs=3)
    assert length.distance > 0.2 and length.p < 0.05
    assert (unknown.fresh, unknown.p) == (0.0, 1.0)
    assert isinstance(mix.fresh, dict) and mix.fresh["Hard"] > 0.8
    assert mix.p < 0.02
    assert sum(found.lengths["fresh"]) == pytest.approx(1, abs=0.01)
    assert len(found.lengths["edges"]) == len(found.lengths["fresh"]) + 1


def test_alike_mixes_are_no_difference() -> None:
    found = [
        compare_task("mcq", made(60, seed=2 * n), made(60, seed=2 * n + 1), most=60, seed=n, permutations=99)
        for n in range(10)
    ]
    assert sum(its.differences[2].p <= 0.05 for its in found) <= 2


def test_too_few_texts_are_not_judged() -> None:
    found = compare_task("mcq", made(200, seed=1), made(FEWEST_TEXTS - 1, seed=2), most=100, seed=0)
    assert (found.reference, found.fresh, found.domain) == (100, FEWEST_TEXTS - 1, None)


def test_a_passage_is_on_one_side_only() -> None:
    old, new = made(400, seed=1), made(400, seed=1)
    reference, fresh = apart(old, new, 500)
    assert not {text.key for text in reference} & {text.key for text in fresh}
    assert len(reference) + len(fresh) == 400
    assert 150 < len(fresh) < 250
    found = compare_task("mcq", old, new, most=500, seed=0, permutations=99)
    assert not drifted(found.domain, BARS)


@pytest.mark.parametrize(
    ("reference", "fresh", "p"),
    [
        ({"mcq": 500, "summarize": 500}, {"mcq": 50, "summarize": 50}, 1.0),
        ({"mcq": 500, "summarize": 500}, {"mcq": 90, "summarize": 10}, 0.0),
        ({"mcq": 500}, {"mcq": 10}, None),
        ({"mcq": 500, "summarize": 100}, {"mcq": 0}, None),
    ],
)
def test_task_mix(reference: dict[str, int], fresh: dict[str, int], p: float | None) -> None:
    found = task_mix(reference, fresh)
    assert (found is None) == (p is None)
    if found is not None and p is not None:
        assert found.p == pytest.approx(p, abs=1e-3)
        assert found.distance == pytest.approx(0.0 if p else 0.4, abs=1e-3)
