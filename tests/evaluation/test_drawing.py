"""Drawn answers repeat, whatever batch an input stands in, and the first of them is the greedy one."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from mtl.evaluation.drawing import draw_texts
from mtl.evaluation.predictor import generate_texts
from tests.support.tiny_model import encoded_rows, plain_tokenizer, tiny_t5

_rng = random.Random(0)
INPUTS = ["".join(_rng.choice("abcdefgh") for _ in range(_rng.randint(2, 30))) for _ in range(8)]
LIMITS: dict[str, Any] = {"max_new_tokens": 10, "max_input_tokens": 64, "batch_tokens": 256, "precision": "fp32"}


def _draw(inputs: list[str], count: int = 3, **changes: Any) -> list[list[str]]:
    return draw_texts(tiny_t5(), plain_tokenizer(), inputs, count, **{**LIMITS, **changes})


@pytest.fixture(scope="module")
def drawn() -> list[list[str]]:
    return _draw(INPUTS)


def test_the_same_answers_every_time_and_in_every_batch(drawn: list[list[str]]) -> None:
    torch.manual_seed(1)
    assert _draw(INPUTS[::-1], batch_tokens=100_000) == drawn[::-1]
    assert [_draw([text])[0] for text in INPUTS[:3]] == drawn[:3]
    assert _draw([INPUTS[0], INPUTS[0]]) == [drawn[0], drawn[0]]
    assert _draw([]) == []


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    _draw(INPUTS[:1])
    assert torch.equal(torch.rand(1), expected)


def test_the_first_is_greedy_and_the_others_differ(drawn: list[list[str]]) -> None:
    assert [texts[0] for texts in drawn] == generate_texts(tiny_t5(), plain_tokenizer(), INPUTS, **LIMITS)
    assert all(len(set(texts)) == 3 for texts in drawn)


def test_more_answers_are_the_same_ones_and_more(drawn: list[list[str]]) -> None:
    assert [texts[:3] for texts in _draw(INPUTS, 5)] == drawn


def test_inputs_are_encoded_once_for_all_answers() -> None:
    model = tiny_t5()
    rows = encoded_rows(model)
    draw_texts(model, plain_tokenizer(), INPUTS[:2], 4, **LIMITS)
    assert sum(rows) == 2
