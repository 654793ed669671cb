"""The best step, and when a run is over: pure functions of what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtl.training.history import (
    BEST_FILE,
    HISTORY_FILE,
    Measurement,
    best_of,
    is_over,
    read_history,
    result_adapter,
)


def measured(*values: float) -> list[Measurement]:
    return [Measurement(10 * n, {"a": value, "b": 2 * value}) for n, value in enumerate(values, start=1)]


@pytest.mark.parametrize(
    ("metric", "step"), [("loss", 20), ("loss/a", 10), ("loss/b", 20)], ids=["mean", "one task", "the other"]
)
def test_the_best_is_the_lowest_of_the_named_metric(metric: str, step: int) -> None:
    history = [Measurement(10, {"a": 1.0, "b": 9.0}), Measurement(20, {"a": 2.0, "b": 3.0})]
    best = best_of(history, metric)
    assert best is not None
    assert best.step == step


def test_of_equals_the_earliest_is_best_and_nothing_measured_has_no_best() -> None:
    best = best_of(measured(3.0, 1.0, 1.0), "loss")
    assert best is not None
    assert best.step == 20
    assert best_of([], "loss") is None


@pytest.mark.parametrize(
    ("values", "patience", "over"),
    [
        ((), 1, False),
        ((1.0,), 1, False),
        ((1.0, 2.0), 1, True),
        ((1.0, 2.0), 2, False),
        ((1.0, 2.0, 1.5), 2, True),
        ((1.0, 2.0, 0.5), 2, False),
        ((1.0, 1.0), 1, True),
        ((1.0, 2.0, 3.0), None, False),
    ],
)
def test_a_run_is_over_after_so_many_measurements_without_a_better_one(
    values: tuple[float, ...], patience: int | None, over: bool
) -> None:
    assert is_over(measured(*values), "loss", patience) is over


def test_a_checkpoint_says_what_was_measured_and_holds_the_result(tmp_path: Path) -> None:
    assert read_history(None) == []
    assert read_history(tmp_path) == []
    assert result_adapter(tmp_path).name == "adapter_model.safetensors"
    (tmp_path / HISTORY_FILE).write_text(json.dumps([{"step": 10, "loss": {"a": 1.0}}]))
    (tmp_path / BEST_FILE).touch()
    assert read_history(tmp_path) == [Measurement(10, {"a": 1.0})]
    assert result_adapter(tmp_path).name == BEST_FILE
