"""Which logged texts are drawn, which are left out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mtl.task import Metric
from mtl.tasks.table import get_task
from mtl.tasks.text import passage_key
from mtl.traffic.records import ServedAnswer
from mtl.traffic.sample import LeftOut, TrafficSample, draw_sample, examples_of

TASKS = {name: get_task(name) for name in ("summarize", "mcq")}
SINCE, UNTIL = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 27, tzinfo=UTC)


def answer(number: int, text: str, task: str = "summarize", **changes: Any) -> ServedAnswer:
    values: dict[str, Any] = {
        "id": f"{number:032x}",
        "at": f"2026-11-2{number % 7}T10:00:00+00:00",
        "request": {"easy": 1} if task == "mcq" else {},
        "decoding": {},
        "truncated": False,
        "answer": "Summary: x.",
        "version": 1,
        "milliseconds": 1.0,
    }
    return ServedAnswer(task=task, text=text, **values | changes)


def drawn(
    answers: Sequence[ServedAnswer], *, per_task: int = 9, seed: int = 3, known: Mapping[str, LeftOut] | None = None
) -> TrafficSample:
    return draw_sample(
        answers,
        tasks=TASKS,
        per_task=per_task,
        seed=seed,
        since=SINCE,
        until=UNTIL,
        known=known or {},
        fits=lambda inputs: len(inputs) < 200,
    )


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (answer(2, "Ann came.", "translate"), LeftOut.UNKNOWN_TASK),
        (answer(2, "Ann came.", "mcq", request={"impossible": 1}), LeftOut.BAD_REQUEST),
        (answer(2, "Ann came.", "mcq", request={"easy": 99}), LeftOut.BAD_REQUEST),
        (answer(2, " "), LeftOut.BAD_REQUEST),
        (answer(2, "Bob won 3 cups."), LeftOut.REPEATED),
        (answer(2, "bob won: 3 CUPS!"), LeftOut.REPEATED),
        (answer(2, "In the training data."), LeftOut.TRAINED),
        (answer(2, "Among the held-out examples."), LeftOut.HELD_OUT),
        (answer(2, "Ann came. " * 30), LeftOut.TOO_LONG),
    ],
)
def test_what_is_left_out_is_counted_with_its_reason(other: ServedAnswer, why: LeftOut) -> None:
    texts = {"In the training data.": LeftOut.TRAINED, "Among the held-out examples.": LeftOut.HELD_OUT}
    sample = drawn(
        [answer(1, "Bob won 3 cups."), other], known={passage_key(text)[:16]: its for text, its in texts.items()}
    )
    assert (sample.logged, len(sample.ids)) == (2, 1)
    assert dict(sample.left_out) == {why: 1}
    (example,) = examples_of([answer(1, "Bob won 3 cups."), other], sample, TASKS)
    assert (example.task, example.targets) == ("summarize", "")


def test_a_task_all_of_whose_metrics_need_references_has_no_part_in_it() -> None:
    tasks = {"summarize": replace(TASKS["summarize"], metrics=(Metric("rouge1"),))}
    answers = [answer(1, "Bob won.")]
    sample = draw_sample(
        answers, tasks=tasks, per_task=3, seed=1, since=SINCE, until=UNTIL, known={}, fits=lambda inputs: True
    )
    assert (sample.ids, dict(sample.left_out)) == ((), {LeftOut.NEEDS_REFERENCE: 1})


def test_a_text_that_was_sent_a_hundred_times_counts_once_by_its_last_request() -> None:
    often = [answer(n, "Where is the lake?", "mcq", request={"easy": 1 + n % 3}) for n in range(100)]
    sample = drawn(often)
    assert (sample.ids, dict(sample.left_out), sample.logged) == ((often[-1].id,), {LeftOut.REPEATED: 99}, 100)
    (example,) = examples_of(often, sample, TASKS)
    assert example.inputs == TASKS["mcq"].prompt("Where is the lake?", {"easy": 1, "medium": 0, "hard": 0})
    assert example.meta == {"request": {"easy": 1}}


def test_the_sample_is_bounded_and_a_function_of_seed_and_texts() -> None:
    answers = [answer(n, f"Boat {n} came home.", "mcq" if n % 2 else "summarize") for n in range(40)]
    sample = drawn(answers, per_task=5)
    assert len(sample.ids) == 10 and sample.left_out == {LeftOut.NOT_DRAWN: 30}
    assert [example.task for example in examples_of(answers, sample, TASKS)] == ["summarize"] * 5 + ["mcq"] * 5
    assert sum(sample.days.values()) == 10 and list(sample.days) == sorted(sample.days)
    assert drawn(answers[::-1], per_task=5).sha256 == sample.sha256, "whichever part of the log is read first"
    assert set(drawn(answers, per_task=5, seed=4).ids) != set(sample.ids)
    more = drawn([*answers, *(answer(100 + n, f"Ship {n} left.") for n in range(4))], per_task=5)
    assert len(set(more.ids) & set(sample.ids)) >= 7, "a log that grows keeps most of its sample"


def test_texts_that_the_log_has_no_longer_are_missing() -> None:
    answers = [answer(n, f"Boat {n} came home.") for n in range(5)]
    assert len(examples_of(answers[2:], drawn(answers), TASKS)) == 3
