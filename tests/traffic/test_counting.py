"""What was served is counted by version and hour, one document an hour, and nobody waits for it."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mtl.errors import TransientError
from mtl.seal import seal
from mtl.store.memory import MemoryStore
from mtl.traffic.counting import Counting
from mtl.traffic.records import ServedCounts, Verdict
from mtl.traffic.store import read_counts
from tests.support.stores import held
from tests.traffic.test_store import ANSWER, FEEDBACK

START = datetime(2026, 1, 31, 17, 59, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def counting(store: MemoryStore, clock: Clock, *, server: str = "one") -> Counting:
    return Counting(store, "m", server=server, seconds=3600, clock=clock)


def test_versions_and_hours_are_counted_apart_and_servers_together() -> None:
    store, clock = MemoryStore(), Clock()
    one, two = counting(store, clock), counting(store, clock, server="two")
    one.answered(replace(ANSWER, marks=(0.9, 0.1), usable=False))
    one.answered(replace(ANSWER, marks=(0.9,), usable=True))
    one.answered(replace(ANSWER, marks=None, usable=None))
    one.answered(replace(ANSWER, marks=None, usable=False))  # without the form, whether marks were asked for or not
    one.count(3, refused=True)
    two.count(3, error=True)
    two.answered(replace(ANSWER, version=4, marks=None, usable=True, milliseconds=5.0))
    two.feedback(replace(FEEDBACK, id="1" * 32, verdict="good"))
    two.feedback(FEEDBACK)
    two.count(None)
    one.write()
    clock.now += timedelta(minutes=1)
    one.answered(replace(ANSWER, marks=None, usable=True, milliseconds=1.0))
    one.close()
    two.close()
    assert len(list(store.list("traffic/m/served/"))) == 3
    assert read_counts(store, "m", since=START, until=START) == {
        3: ServedCounts(
            3, requests=6, errors=1, refused=1, malformed=1, checked=2, unusable=1, good=1, bad=1, milliseconds=50.0
        ),
        4: ServedCounts(4, requests=1, milliseconds=5.0),
    }
    assert read_counts(store, "m", since=clock.now) == {3: ServedCounts(3, requests=1, milliseconds=1.0)}


@pytest.mark.parametrize(
    ("verdicts", "good", "bad"),
    [
        (["good"] * 10, 1, 0),
        (["wrong_key"] * 10, 0, 1),
        (["good", "unclear", "good", "corrected"], 0, 1),
        (["wrong_level", "good"], 0, 1),
    ],
)
@pytest.mark.parametrize("apart", [timedelta(), timedelta(minutes=1), timedelta(hours=5)])
def test_an_answer_is_judged_once_however_many_of_its_questions_are(
    verdicts: list[Verdict], good: int, bad: int, apart: timedelta
) -> None:
    store, clock = MemoryStore(), Clock()
    counts = counting(store, clock)
    for question, verdict in enumerate(verdicts, 1):
        counts.feedback(replace(FEEDBACK, question=question, verdict=verdict))
        counts.write()
        clock.now += apart
    counts.feedback(replace(FEEDBACK, id="1" * 32, verdict="good"))
    counts.feedback(replace(FEEDBACK, id="2" * 32, version=None))
    counts.close()
    assert read_counts(store, "m", since=START) == {3: ServedCounts(3, good=good + 1, bad=bad)}


def test_the_document_of_an_hour_is_written_again_with_all_of_it() -> None:
    store, clock = MemoryStore(), Clock()
    counts = counting(store, clock)
    for requests in (1, 2, 3):
        counts.count(3)
        counts.write()
        assert read_counts(store, "m", since=START)[3].requests == requests
    counts.close()


def test_a_clock_that_is_set_back_erases_nothing() -> None:
    store, clock = MemoryStore(), Clock()
    counts = counting(store, clock)
    for hours in (1, 1, -1, -1, 26, -26):
        counts.count(3)
        counts.count(3)
        counts.write()
        clock.now += timedelta(hours=hours)
    counts.close()
    assert read_counts(store, "m", since=START)[3].requests == 12
    assert read_counts(store, "m", since=START, until=START)[3].requests == 4
    assert read_counts(store, "m", since=START + timedelta(hours=3)).keys() == {3}


def test_counts_of_a_server_that_did_not_count_everything_are_read() -> None:
    store = MemoryStore()
    old = ServedCounts(3, requests=2, errors=1).to_dict()
    del old["malformed"]
    store.put("traffic/m/served/2026-01-31T17/old.json", seal({"counts": [old]}))
    assert read_counts(store, "m", since=START) == {3: ServedCounts(3, requests=2, errors=1)}


def test_a_store_that_is_away_gets_all_hours_later() -> None:
    store, clock = MemoryStore(), Clock()
    counts = counting(store, clock)

    def refuse(operation: str, key: str) -> None:
        raise TransientError("away")

    store.before = refuse
    for _ in range(3):
        counts.count(3)
        with pytest.raises(TransientError):
            counts.write()
        clock.now += timedelta(hours=1)
    store.before = lambda operation, key: None
    counts.close()
    assert read_counts(store, "m", since=START)[3].requests == 3
    assert len(list(store.list("traffic/m/served/"))) == 3


def test_a_store_that_hangs_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store, healed, clock = MemoryStore(), threading.Event(), Clock()
    store.before = held(healed)
    counts = Counting(store, "m", server="one", seconds=0.01, clock=clock)
    began = time.monotonic()
    for _ in range(1000):
        counts.count(3)
    assert time.monotonic() - began < 1
    healed.set()
    counts.close()
    assert read_counts(store, "m", since=START)[3].requests == 1000


def test_counts_that_the_store_never_took_are_told(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(operation: str, key: str) -> None:
        raise TransientError("away")

    counts = counting(MemoryStore(before=refuse), Clock())
    counts.count(3)
    with caplog.at_level(logging.WARNING, logger="mtl"):
        counts.close()
    assert "they are lost" in caplog.text
