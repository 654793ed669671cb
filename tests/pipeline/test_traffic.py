"""A run keeps the sample of logged texts that it was first evaluated on."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from mtl import layout
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.errors import ConfigError
from mtl.pipeline.traffic import kept_sample
from mtl.store.memory import MemoryStore
from mtl.traffic.sample import TrafficSample

RUN = "a" * 64
FIRST = TrafficSample("2026-11-20T00:00:00+00:00", "2026-11-27T00:00:00+00:00", 3, ("0" * 32,), {"2026-11-21": 1}, {})
LATER = replace(FIRST, until="2026-11-28T00:00:00+00:00", ids=("1" * 32,))


def config(**sections: Any) -> RetrainConfig:
    sources = [{"task": "summarize", "uri": "demo"}]
    return parse_config({"data": {"sources": sources}, "evaluate": {"traffic_examples": 5}, **sections})


def never() -> TrafficSample:
    raise AssertionError("it was drawn again")


def test_a_run_keeps_the_sample_that_it_was_first_evaluated_on() -> None:
    store = MemoryStore()
    assert kept_sample(store, config(), RUN, lambda: FIRST) == FIRST
    assert kept_sample(store, config(), RUN, never) == FIRST, "a retry, or a resume after a crash"
    assert kept_sample(store, config(), "b" * 64, lambda: LATER) == LATER
    more = config(evaluate={"traffic_examples": 6})
    assert kept_sample(store, more, RUN, lambda: LATER) == LATER, "more texts were asked for"


def test_no_text_is_written_down() -> None:
    store = MemoryStore()
    kept_sample(store, config(), RUN, lambda: FIRST)
    (info,) = store.list("")
    assert set(TrafficSample.__dataclass_fields__) == {
        *("since", "until", "logged", "ids", "days", "left_out", "damaged", "fault")
    }
    assert info.key.startswith(layout.run_prefix(RUN))


@pytest.mark.parametrize("number", [None, 0])
def test_without_the_option_nothing_is_drawn_or_written(number: int | None) -> None:
    store = MemoryStore()
    assert kept_sample(store, config(evaluate={"traffic_examples": number}), RUN, never) is None
    assert list(store.list("")) == []


def test_a_log_that_could_not_be_read_is_tried_again() -> None:
    store = MemoryStore()
    fault = TrafficSample(FIRST.since, FIRST.until, fault="access denied")
    assert kept_sample(store, config(), RUN, lambda: fault) == fault
    later = replace(fault, until=LATER.until)
    assert later.sha256 == fault.sha256, "a retry finds the report of the first try"
    assert kept_sample(store, config(), RUN, lambda: FIRST) == FIRST


def test_a_sample_that_rotted_is_said_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    kept_sample(store, config(), RUN, lambda: FIRST)
    (info,) = store.list("")
    store.put(info.key, b"{")
    with caplog.at_level(logging.WARNING):
        assert kept_sample(store, config(), RUN, lambda: LATER) == LATER
    assert "other logged texts judge it" in caplog.text
    assert kept_sample(store, config(), RUN, never) == LATER


@pytest.mark.parametrize(
    ("guard", "evaluate", "said"),
    [
        ({"summarize": ["supported"]}, {}, "gate.traffic_guard needs evaluate.traffic_examples"),
        ({"summarize": ["rougeLsum"]}, {"traffic_examples": 9}, "is not judged by 'rougeLsum' on logged texts"),
        ({"summarize": ["length"]}, {"traffic_examples": 9}, "is not judged by 'length' on logged texts"),
        ({"sumarize": ["supported"]}, {"traffic_examples": 9}, "did you mean 'summarize'?"),
    ],
)
def test_a_guard_that_would_never_do_anything_is_refused(
    guard: dict[str, list[str]], evaluate: dict[str, int], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config(gate={"traffic_guard": guard}, evaluate=evaluate)
    assert said in str(caught.value)
