"""Results of runs, what machines of one training tell each other, and what was measured: whoever wrote them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from mtl import layout
from mtl.errors import DamageError, MtlError
from mtl.store.memory import MemoryStore
from mtl.training.history import HISTORY_FILE, read_history
from mtl.training.result import TrainedModel, read_result
from tests.support.mutations import damaged, fuzz

ID = "a" * 64
RESULT = {
    "identity": ID,
    "steps": 6,
    "max_steps": 6,
    "adapter_sha256": "b" * 64,
    "resumed_from": None,
    "bit_exact": False,
    "continued_from": {"source": "c" * 64, "step": 2, "differing": ["threads"]},
    "tokens_per_second": 10.5,
    "loss": {"mcq": 0.5, "summarize": 1},
    "validation": {"mcq": 0.5},
    "best": {"step": 4, "metric": "loss", "value": 0.5},
    "stopped_early": False,
}
HISTORY = [{"step": 2, "loss": {"mcq": 0.5}}, {"step": 4, "loss": {"mcq": 0.25}}]


def result(data: bytes) -> TrainedModel:
    store = MemoryStore()
    store.put(layout.result_key(ID), data)
    return read_result(store, ID)


def test_a_result_is_given_as_it_was_written() -> None:
    assert result(json.dumps(RESULT).encode()).to_json() == RESULT


@given(damaged(RESULT, sealed=True))
@fuzz(80)
def test_any_result(data: bytes) -> None:
    try:
        found = result(data)
    except MtlError:
        return
    assert found.identity == ID
    assert found.adapter_sha256 is None or len(found.adapter_sha256) == 64
    assert type(found.steps) is int


@pytest.mark.parametrize(
    ("field", "value"), [("adapter_sha256", "../x"), ("steps", "6"), ("bit_exact", 0), ("identity", "c" * 64)]
)
def test_a_result_with_a_wrong_field_is_damage(field: str, value: object) -> None:
    with pytest.raises(DamageError, match=r"result\.json is damaged: "):
        result(json.dumps(RESULT | {field: value}).encode())


@given(damaged(HISTORY))
@fuzz(60)
def test_any_history(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / HISTORY_FILE).write_bytes(data)
    try:
        history = read_history(folder)
    except MtlError:
        return
    assert all(type(measured.step) is int for measured in history)
