"""Each week other examples judge, of the same number; a run keeps its week whatever happens to it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from mtl import layout
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.manifest import SplitCounts
from mtl.evaluation.samples import sample_examples
from mtl.example import Example
from mtl.pipeline.judging import judged_by
from mtl.pipeline.rotation import never_rotated, rotation_week, week_of
from mtl.store.memory import MemoryStore

RUN = "a" * 64
NEW_YEARS_EVE = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
MARCH = datetime(2027, 3, 1, tzinfo=UTC)
POOL = [Example(f"text {n}", "", task, f"{task}-{n}") for task in ("mcq", "summarize") for n in range(300)]


def config(rotate: str = "weekly", **sections: Any) -> RetrainConfig:
    sources = [{"task": "summarize", "uri": "demo"}]
    return parse_config({"data": {"sources": sources}, "gate": {"rotate": rotate}, **sections})


def drawn(week: str | None, most: int = 100) -> set[str]:
    return {example.uid for example in sample_examples(POOL, per_task=most, seed=3, week=week)}


def test_each_week_is_another_part_of_the_same_size() -> None:
    weeks = [drawn(f"2026-W{number:02}") for number in range(1, 53)]
    assert {len(week) for week in weeks} == {200}
    assert len({frozenset(week) for week in weeks}) == 52
    assert set().union(*weeks) == {example.uid for example in POOL}, "in a year, every example judges"
    shared = [len(one & other) / 200 for one, other in pairwise(weeks)]
    assert abs(sum(shared) / len(shared) - 1 / 3) < 0.03, "a third of the pool is drawn, independently"


def test_without_a_week_the_sample_is_the_one_that_it_was() -> None:
    few = sample_examples(POOL, per_task=2, seed=3)
    assert [example.uid for example in few] == ["mcq-114", "mcq-172", "summarize-221", "summarize-224"]


def test_a_run_keeps_the_week_in_which_it_was_first_evaluated() -> None:
    store = MemoryStore()
    assert rotation_week(store, config(), RUN, now=NEW_YEARS_EVE) == "2026-W53"
    assert rotation_week(store, config(), RUN, now=MARCH) == "2026-W53", "a retry, or a resume after a crash"
    assert rotation_week(store, config(), "b" * 64, now=MARCH) == "2027-W09"


def test_without_rotation_nothing_is_written() -> None:
    store = MemoryStore()
    assert rotation_week(store, config("never"), RUN, now=MARCH) is None
    assert list(store.list("")) == []


def test_a_week_that_rotted_is_said_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    rotation_week(store, config(), RUN, now=NEW_YEARS_EVE)
    store.put(layout.rotation_key(RUN), b"{")
    with caplog.at_level(logging.WARNING):
        assert rotation_week(store, config(), RUN, now=MARCH) == "2027-W09"
    assert "rotation.json" in caplog.text and "the examples of this week judge" in caplog.text
    assert rotation_week(store, config(), RUN, now=NEW_YEARS_EVE) == "2027-W09"


@pytest.mark.parametrize(
    ("train", "week", "said"),
    [
        ({}, None, "the validation split"),
        ({"eval_steps": 5}, None, "the validation passages that choose no checkpoint"),
        ({"eval_steps": 5}, "2026-W53", "the validation passages that choose no checkpoint, part of 2026-W53"),
    ],
)
def test_the_report_says_which_examples_judge(train: dict[str, int], week: str | None, said: str) -> None:
    assert judged_by(config(train=train), week) == said


@pytest.mark.parametrize(
    ("rotate", "most", "have", "tasks"),
    [
        ("weekly", 100, 300, []),
        ("weekly", 300, 300, ["summarize"]),
        ("weekly", None, 300, ["summarize"]),
        ("never", None, 300, []),
    ],
)
def test_a_pool_that_is_too_small_to_rotate_is_told(rotate: str, most: int | None, have: int, tasks: list[str]) -> None:
    counts = {"summarize": {"validation": SplitCounts(examples=have)}}
    told = never_rotated(config(rotate, evaluate={"max_examples": most}), counts)
    assert [text.partition(":")[0] for text in told] == tasks
    for text in told:
        assert "all 300 that may judge are evaluated" in text


def test_the_week_of_a_release_is_found_again_or_is_none(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    assert week_of(store, RUN) is None
    rotation_week(store, config(), RUN, now=MARCH)
    assert week_of(store, RUN) == "2027-W09"
    store.put(layout.rotation_key(RUN), b"{")
    assert week_of(store, RUN) is None and "other examples than at its release" in caplog.text
