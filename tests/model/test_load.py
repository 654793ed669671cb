"""The model's own file, whoever wrote it: a DamageError or what it says, no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from mtl.errors import DamageError
from mtl.model.load import MODEL_FILE, ModelSpec, load_spec
from tests.support.mutations import damaged, fuzz

SPEC = {
    "base": "google/flan-t5-base",
    "revision": "abc123",
    "base_sha256": "b" * 64,
    "tokens": {"summarize": "<summarize>", "mcq": "<mcq>"},
    "max_input_tokens": 512,
    "max_new_tokens": {"summarize": 128, "mcq": 256},
    "task_versions": {"summarize": 1, "mcq": 1},
}


@given(damaged(SPEC))
@fuzz(100)
def test_any_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / MODEL_FILE).write_bytes(data)
    try:
        spec = load_spec(folder)
    except DamageError as error:
        assert MODEL_FILE in error.message
        return
    assert isinstance(spec, ModelSpec)
    assert all(type(limit) is int and limit > 0 for limit in (spec.max_input_tokens, *spec.max_new_tokens.values()))
    assert all(type(text) is str for text in (spec.base, *spec.tokens.values()))


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("max_input_tokens", "512", "max_input_tokens: Input should be a valid integer, got '512'"),
        ("max_input_tokens", True, "max_input_tokens: Input should be a valid integer, got True"),
        ("max_new_tokens", {"mcq": 0}, "max_new_tokens.mcq: Input should be greater than or equal to 1, got 0"),
        ("tokens", ["<mcq>"], "tokens: Input should be a valid dictionary, got"),
        ("base", 7, "base: Input should be a valid string, got 7"),
        ("base", "demo\x1b[31m", "base: String should match pattern"),
        ("base_sha256", "../x", "base_sha256: String should match pattern"),
        ("extra", 1, "extra: Unexpected keyword argument"),
    ],
)
def test_a_field_of_another_kind_is_named(tmp_path: Path, field: str, value: object, problem: str) -> None:
    (tmp_path / MODEL_FILE).write_text(json.dumps(SPEC | {field: value}))
    with pytest.raises(DamageError) as caught:
        load_spec(tmp_path)
    assert problem in caught.value.message
    assert "\x1b" not in caught.value.message


def test_a_folder_without_one(tmp_path: Path) -> None:
    with pytest.raises(DamageError, match="is not a trained model"):
        load_spec(tmp_path)
