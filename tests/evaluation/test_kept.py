"""Answers are taken from the very same call and from no other, whatever happens to what is kept."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest

from mtl.errors import PermanentError, TransientError
from mtl.evaluation.kept import KeptAnswers, delete_unused, unused
from mtl.layout import PREDICTIONS
from mtl.seal import seal, unseal
from mtl.store.memory import MemoryStore

SUBJECT = {"adapter": "a", "engine": "torch"}
ASKED = {"kind": "write", "max_new_tokens": 8}
INPUTS = ["one", "two"]
DAY = 86_400.0


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Model:
    """Says something else at each call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> list[str]:
        self.calls += 1
        return [f"{self.calls} a", f"{self.calls} b"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock=clock)


def answer(
    store: MemoryStore | None,
    model: Any,
    *,
    subject: dict[str, Any] = SUBJECT,
    asked: dict[str, Any] = ASKED,
    inputs: list[Any] = INPUTS,
    kind: Any = list[str],
) -> tuple[list[Any], bool]:
    return KeptAnswers(store, subject).answers(asked, inputs, model, kind=kind)


def only(store: MemoryStore) -> str:
    (info,) = store.list(PREDICTIONS)
    return info.key


def test_the_same_call_is_answered_once(store: MemoryStore) -> None:
    model = Model()
    first, kept = answer(store, model)
    assert not kept
    assert answer(store, model) == (first, True)
    assert model.calls == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": {**SUBJECT, "adapter": "b"}},
        {"subject": {**SUBJECT, "engine": "ctranslate2"}},
        {"asked": {**ASKED, "max_new_tokens": 9}},
        {"asked": {**ASKED, "kind": "read"}},
        {"inputs": ["two", "one"]},
        {"inputs": ["one", "twO"]},
    ],
)
def test_any_other_call_is_made(store: MemoryStore, changes: dict[str, Any]) -> None:
    model = Model()
    answer(store, model)
    assert answer(store, model, **changes) == (["2 a", "2 b"], False)


def test_without_a_store_every_call_is_made() -> None:
    model = Model()
    assert [answer(None, model)[1] for _ in range(2)] == [False, False]


def test_floats_come_back_to_the_last_bit(store: MemoryStore) -> None:
    said = [(1 / 3, 2 / 3), (math.nextafter(0.1, 1), 5e-324)]
    answer(store, lambda: said, kind=list[tuple[float, ...]])
    assert answer(store, Model(), kind=list[tuple[float, ...]]) == (said, True)


def test_what_is_no_number_is_not_kept(store: MemoryStore) -> None:
    for _ in range(2):
        found, kept = answer(store, lambda: [(math.nan,), (1.0,)], kind=list[tuple[float, ...]])
        assert math.isnan(found[0][0]) and not kept


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"1 a", b"1 z"),
        lambda data: seal({**unseal(data, "it"), "call": 64 * "0"}),
        lambda data: seal({**unseal(data, "it"), "answers": ["1 a"]}),
        lambda data: seal({**unseal(data, "it"), "answers": ["1 a", 2]}),
        lambda data: json.dumps(unseal(data, "it")).encode(),
    ],
    ids=["empty", "cut", "flipped", "of another call", "one too few", "of another kind", "without its check"],
)
def test_damage_is_said_and_mended(store: MemoryStore, caplog: pytest.LogCaptureFixture, damage: Any) -> None:
    model = Model()
    answer(store, model)
    key = only(store)
    store.put(key, damage(store.get(key)))
    with caplog.at_level(logging.WARNING, logger="mtl"):
        assert answer(store, model) == (["2 a", "2 b"], False)
    assert key in caplog.text and "the model answers again" in caplog.text
    assert answer(store, model) == (["2 a", "2 b"], True)


def test_two_at_once_keep_one(store: MemoryStore) -> None:
    one, other = KeptAnswers(store, SUBJECT), KeptAnswers(store, SUBJECT)

    def beside() -> list[str]:
        one.answers(ASKED, INPUTS, lambda: ["x", "y"], kind=list[str])
        return ["x", "y"]

    assert other.answers(ASKED, INPUTS, beside, kind=list[str]) == (["x", "y"], False)
    assert only(store)


def test_a_store_that_is_away_is_an_error_and_one_that_forbids_it_a_warning(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    def away(operation: str, key: str) -> None:
        raise TransientError("the store does not answer")

    def forbidden(operation: str, key: str) -> None:
        raise PermanentError("access denied")

    store.before = away
    with pytest.raises(TransientError, match="does not answer"):
        answer(store, Model())
    store.before = forbidden
    kept, model = KeptAnswers(store, SUBJECT), Model()
    with caplog.at_level(logging.WARNING, logger="mtl"):
        for _ in range(2):
            assert not kept.answers(ASKED, INPUTS, model, kind=list[str])[1]
    assert caplog.text.count("not taken from earlier evaluations: access denied") == 1


def test_one_that_may_be_read_only_is_a_warning(
    store: MemoryStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(operation: str, key: str) -> None:
        if operation.startswith("put"):
            raise PermanentError("access denied")

    model = Model()
    answer(store, model)
    clock.now += 8 * DAY  # the answers would be written again, for their age tells when they were last needed
    store.before = read_only
    kept = KeptAnswers(store, SUBJECT)
    assert kept.answers(ASKED, ["three", "four"], model, kind=list[str]) == (["2 a", "2 b"], False)
    assert kept.answers(ASKED, INPUTS, model, kind=list[str])[1], "what is there is taken, also after a refused write"
    assert kept.answers(ASKED, ["five", "six"], model, kind=list[str]) == (["3 a", "3 b"], False)
    assert caplog.text.count("not kept for later evaluations: access denied") == 1


def test_what_nobody_took_for_a_month_is_pruned(store: MemoryStore, clock: Clock) -> None:
    model = Model()
    answer(store, model)
    answer(store, model, inputs=["left", "alone"])
    for _ in range(5):  # one of them is taken every ten days
        clock.now += 10 * DAY
        if unused(store):
            break
        assert answer(store, model)[1]
    (lost,) = unused(store)
    assert clock.now - 1_000_000.0 == 40 * DAY
    assert delete_unused(store, [lost]) == 1
    assert answer(store, model)[1]
    assert not answer(store, model, inputs=["left", "alone"])[1]


def test_what_is_taken_after_it_was_listed_stays(store: MemoryStore, clock: Clock) -> None:
    model = Model()
    answer(store, model)
    clock.now += 38 * DAY
    listed = unused(store)
    assert len(listed) == 1
    answer(store, model)
    assert delete_unused(store, listed) == 0
    assert answer(store, model)[1]
