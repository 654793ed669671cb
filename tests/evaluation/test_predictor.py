from __future__ import annotations

import random
import string
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig

from mtl.decoding import Decoding
from mtl.evaluation.predictor import Precision, decode, generate_texts, generation_config, plan_batches, prepared
from tests.support.tiny_model import plain_tokenizer, tiny_t5, tiny_tokenizer


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """On a busy machine threads of so small products wait for each other thirty times as long as they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _inputs(n: int, *, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choice("abcdefgh") for _ in range(rng.randint(2, 30))) for _ in range(n)]


def _generate(model: object, inputs: list[str], **changes: object) -> list[str]:
    options: dict[str, Any] = {"max_new_tokens": 12, "max_input_tokens": 64, "batch_tokens": 128, "precision": "fp32"}
    return generate_texts(model, plain_tokenizer(), inputs, **{**options, **changes})


def test_order_and_batching_do_not_change_the_answers() -> None:
    model, inputs = tiny_t5(), _inputs(24)
    alone = [_generate(model, [text])[0] for text in inputs]
    assert len(set(alone)) > 12, "the tiny model answers too alike to test with"
    assert _generate(model, inputs) == alone
    assert _generate(model, inputs[::-1], batch_tokens=100_000) == alone[::-1]
    assert _generate(model, inputs, batch_tokens=1) == alone


def test_equals_an_argmax_written_by_hand() -> None:
    model, tokenizer = tiny_t5(), plain_tokenizer()
    for text in _inputs(6, seed=4):
        source = torch.tensor([tokenizer(text)["input_ids"]])
        written = [0]
        while len(written) <= 12 and written[-1] != 1:
            with torch.no_grad():
                logits = model(input_ids=source, decoder_input_ids=torch.tensor([written])).logits
            written.append(int(logits[0, -1].argmax()))
        assert _generate(model, [text]) == [tokenizer.decode(written, skip_special_tokens=True)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("limit", [1, 5, 40])
@pytest.mark.parametrize("beams", [1, 3])
def test_equals_transformers_generate(precision: Precision, limit: int, beams: int) -> None:
    model, tokenizer, inputs = tiny_t5(), plain_tokenizer(), _inputs(12, seed=2)
    decoding = Decoding(num_beams=beams)
    config = generation_config(model, tokenizer, max_new_tokens=limit, decoding=decoding)
    batch = tokenizer(inputs, padding=True, return_tensors="pt")
    with prepared(model, precision):
        plain = model.generate(batch["input_ids"], attention_mask=batch["attention_mask"], generation_config=config)
    expected = decode(tokenizer, plain)
    assert limit < 40 or len({len(text) for text in expected}) > 4, "answers have to end at different steps"
    options: dict[str, Any] = {"max_new_tokens": limit, "precision": precision, "decoding": decoding}
    assert _generate(model, inputs, batch_tokens=100_000, **options) == expected
    if precision == "fp32":  # in bf16 another batch may round another way
        assert [_generate(model, [text], **options)[0] for text in inputs] == expected


def test_the_limit_is_the_one_asked_for_and_not_twenty() -> None:
    model, inputs = tiny_t5(), _inputs(12)
    longest = max(len(text) for text in _generate(model, inputs, max_new_tokens=40))
    assert 20 < longest <= 40, "one token is at most one character here"
    assert max(len(text) for text in _generate(model, inputs, max_new_tokens=3)) <= 3


def test_the_bases_own_generation_config_changes_nothing() -> None:
    model, inputs = tiny_t5(), _inputs(8)
    before = _generate(model, inputs)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=5.0,
        top_k=50,
        num_beams=4,
        no_repeat_ngram_size=2,
        repetition_penalty=3.0,
        length_penalty=2.0,
        early_stopping=True,
        min_length=10,
        max_length=4,
        decoder_start_token_id=5,
        eos_token_id=7,
        pad_token_id=9,
    )
    assert _generate(model, inputs) == before


def test_every_number_of_the_configuration_is_said() -> None:
    config = generation_config(tiny_t5(), plain_tokenizer(), max_new_tokens=9)
    assert (config.max_new_tokens, config.do_sample, config.num_beams) == (9, False, 1)
    assert (config.pad_token_id, config.eos_token_id, config.decoder_start_token_id) == (0, 1, 0)


def test_long_inputs_are_cut_and_keep_their_end_token() -> None:
    model, text = tiny_t5(), "abcdefgh" * 10
    # 7 tokens of text and </s>; the first token is the word-start mark.
    assert _generate(model, [text], max_input_tokens=8) == _generate(model, [text[:6]])
    assert _generate(model, [text], max_input_tokens=8) != _generate(model, [text])


def test_equal_inputs_are_answered_once_and_all_counted() -> None:
    seen: list[tuple[int, int]] = []
    model = tiny_t5()
    rows: list[int] = []
    model.decoder.register_forward_pre_hook(lambda _, __, given: rows.append(len(given["input_ids"])), with_kwargs=True)
    answers = _generate(model, ["aab", "c", "aab", "aab"], progress=lambda done, total: seen.append((done, total)))
    assert max(rows) == 2
    assert answers[0] == answers[2] == answers[3] != answers[1]
    assert seen[-1] == (4, 4)


def test_progress_never_goes_back() -> None:
    seen: list[int] = []
    _generate(tiny_t5(), _inputs(10), batch_tokens=40, progress=lambda done, total: seen.append(done))
    assert seen == sorted(seen) and seen[-1] == 10 and len(seen) > 2


def test_nothing_in_nothing_out() -> None:
    assert _generate(tiny_t5(), []) == []


def test_special_tokens_are_not_in_the_text_and_spaces_stay() -> None:
    tokenizer = tiny_tokenizer(extra_tokens=["<mcq>"])
    row = tokenizer("<mcq> who , me ? isn't it .")["input_ids"]
    assert tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False).strip() == (
        "who , me ? isn't it ."
    )


def test_bf16_repeats_and_the_model_keeps_its_mode_and_weights() -> None:
    model, inputs = tiny_t5().train(), _inputs(6)
    first = _generate(model, inputs, precision="bf16")
    assert _generate(model, inputs, precision="bf16") == first
    assert model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert _generate(model, inputs) == _generate(model.eval(), inputs), "dropout was left on"


def test_an_adapted_model_generates_through_its_adapter() -> None:
    from peft import LoraConfig, get_peft_model

    inputs = _inputs(6)
    plain = _generate(tiny_t5(), inputs)
    adapted = get_peft_model(tiny_t5(), LoraConfig(task_type="SEQ_2_SEQ_LM", r=2, target_modules=["q", "v"]))
    assert _generate(adapted, inputs) == plain
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.5)
    assert _generate(adapted, inputs) != plain


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 200))
def test_plan_holds_everything_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = plan_batches(lengths, batch_tokens=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
    longest = [max(lengths[index] for index in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


@pytest.mark.parametrize("text", ["plain words here", string.punctuation.replace("`", ""), "A. one B. two"])
def test_the_tiny_tokenizer_gives_back_what_it_read(text: str) -> None:
    tokenizer = plain_tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert ids[-1] == 1 and 2 not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text


def test_the_tiny_model_is_a_function_of_its_seed_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, second = tiny_t5(seed=3), tiny_t5(seed=3)
    assert torch.equal(torch.rand(1), expected)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
