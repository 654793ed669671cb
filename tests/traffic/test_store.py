"""What servers write of their traffic is what flows read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mtl.errors import TransientError
from mtl.layout import feedback_prefix, requests_prefix, served_prefix
from mtl.seal import seal
from mtl.store.memory import MemoryStore
from mtl.traffic.records import Feedback, ServedAnswer, ServedCounts
from mtl.traffic.store import part_of, read_answers, read_counts, read_feedback, write_counts, write_feedback

ANSWER = ServedAnswer(
    id="0" * 32,
    at="2026-01-31T17:00:00+00:00",
    task="mcq",
    text="A text.",
    request={"easy": 1, "medium": 0, "hard": 1},
    decoding={"candidates": 1},
    truncated=False,
    answer="MCQs: 1. …",
    version=3,
    milliseconds=12.5,
    usable=False,
    marks=(0.5, 0.25),
)
FEEDBACK = Feedback(
    id="0" * 32,
    at="2026-01-31T17:01:00+00:00",
    task="mcq",
    text="A text.",
    request={"easy": 1},
    answer="MCQs: 1. …",
    version=3,
    verdict="corrected",
    origin="page",
    question=1,
    correction={"question": "Which?", "options": ["a", "b", "c", "d"], "answer": "B", "difficulty": "Easy"},
)


def test_logged_answers_are_read_by_time_and_a_damaged_part_is_named(caplog: pytest.LogCaptureFixture) -> None:
    store, prefix = MemoryStore(), requests_prefix("m")
    later = replace(ANSWER, id="1" * 32, at="2026-02-01T00:00:00+00:00", usable=None, marks=None, version=None)
    store.put(f"{prefix}/2026-01-31/a.parquet", part_of([ANSWER]))
    store.put(f"{prefix}/2026-02-01/b.parquet", part_of([later]))
    assert list(read_answers(store, "m")) == [ANSWER, later]
    assert list(read_answers(store, "m", since=datetime(2026, 1, 31, 18, tzinfo=UTC))) == [later]
    assert list(read_answers(store, "m", until=datetime(2026, 2, 1, tzinfo=UTC))) == [ANSWER]
    store.put(f"{prefix}/2026-01-31/a.parquet", part_of([ANSWER])[:-9])
    assert list(read_answers(store, "m")) == [later]
    assert f"{prefix}/2026-01-31/a.parquet is damaged" in caplog.text


def test_feedback_is_kept_once_for_each_question(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    other = replace(FEEDBACK, verdict="unclear", correction=None)
    assert write_feedback(store, "m", FEEDBACK) == FEEDBACK
    assert write_feedback(store, "m", other) == FEEDBACK
    second = replace(other, question=None)
    assert write_feedback(store, "m", second) == second
    assert list(read_feedback(store, "m")) == [FEEDBACK, second]
    store.put(f"{feedback_prefix('m')}/{FEEDBACK.name}.json", b"{}")
    assert list(read_feedback(store, "m")) == [second]
    assert "is damaged" in caplog.text


class LostAnswer(MemoryStore):
    """The first put gets through and its answer is lost, so that it is made again, as `S3Store` does."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        super().put_if_absent(key, data)
        return super().put_if_absent(key, data)


def test_own_feedback_whose_answer_was_lost_is_new_and_the_same_again_is_not() -> None:
    store, again = LostAnswer(), replace(FEEDBACK)
    assert write_feedback(store, "m", FEEDBACK) is FEEDBACK
    assert write_feedback(store, "m", again) is not again
    assert list(read_feedback(store, "m")) == [FEEDBACK]


def test_a_conflict_that_nobody_won_is_tried_again() -> None:
    class Conflict(MemoryStore):
        conflicts = 2

        def put_if_absent(self, key: str, data: bytes) -> bool:
            self.conflicts -= 1
            return self.conflicts < 0 and super().put_if_absent(key, data)

    store = Conflict()
    assert write_feedback(store, "m", FEEDBACK) is FEEDBACK
    store.conflicts = 100
    with pytest.raises(TransientError, match="holds no such object"):
        write_feedback(store, "m", replace(FEEDBACK, question=2))


def test_counts_of_servers_and_hours_are_summed_by_version() -> None:
    store, hour = MemoryStore(), datetime(2026, 1, 31, 17, tzinfo=UTC)
    write_counts(store, "m", "a", hour, [ServedCounts(3, requests=5, errors=1), ServedCounts(4, requests=1)])
    write_counts(store, "m", "b", hour.replace(hour=18), [ServedCounts(4, requests=2, bad=1, milliseconds=1.5)])
    assert read_counts(store, "m", since=hour) == {
        3: ServedCounts(3, requests=5, errors=1),
        4: ServedCounts(4, requests=3, bad=1, milliseconds=1.5),
    }
    assert read_counts(store, "m", since=hour.replace(hour=18)) == {
        4: ServedCounts(4, requests=2, bad=1, milliseconds=1.5)
    }
    assert read_counts(store, "m", since=hour, until=hour)[4].requests == 1


@pytest.mark.parametrize(
    "odd",
    [
        b"{}",
        seal({}),
        seal({"counts": 3}),
        seal({"counts": [{"version": 3, "requests": 7}, {"version": "x"}]}),
        seal({"counts": [{"version": 3, "requests": -7}]}),
    ],
)
def test_odd_counts_are_named_and_left_out_as_a_whole(odd: bytes, caplog: pytest.LogCaptureFixture) -> None:
    store, hour = MemoryStore(), datetime(2026, 1, 31, 17, tzinfo=UTC)
    write_counts(store, "m", "a", hour, [ServedCounts(3, requests=5)])
    key = f"{served_prefix('m')}/2026-01-31T17/b.json"
    store.put(key, odd)
    assert read_counts(store, "m", since=hour) == {3: ServedCounts(3, requests=5)}
    assert f"{key} is damaged" in caplog.text
    assert "its counts are left out" in caplog.text
