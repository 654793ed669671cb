"""Several answers to each input, by sampling that repeats: the first is greedy, the others have noise of their own.

The likeliest entry of (logits + Gumbel noise) is a sample of the softmax of the logits (Gumbel-max; Maddison, Tarlow
and Minka 2014, "A* Sampling"). The noise is a function of the input, of the answer's number and of the step, so an
input is answered alike in whatever batch it stands. torch's own sampling draws a whole batch from one generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from mtl.decoding import TOP, seed_of
from mtl.evaluation.predictor import Precision, decode, generation_config, plan_batches, prepared


def draw_texts(
    model: Any,
    tokenizer: Any,
    inputs: Sequence[str],
    count: int,
    *,
    max_new_tokens: int,
    max_input_tokens: int,
    batch_tokens: int,
    precision: Precision,
) -> list[list[str]]:
    """`count` answers to each input, the first of them greedy. Inputs are encoded once for all of their answers.

    Inputs are cut to `max_input_tokens`. batch_tokens: padded input tokens of a batch, counted once for each answer.
    """
    distinct = list(dict.fromkeys(inputs))
    if not distinct:
        return []
    ids = tokenizer(distinct, truncation=True, max_length=max_input_tokens)["input_ids"]
    config = generation_config(model, tokenizer, max_new_tokens=max_new_tokens)
    found: dict[str, list[str]] = {}
    with prepared(model, precision):
        for batch in plan_batches([len(row) for row in ids], batch_tokens=max(1, batch_tokens // count)):
            texts = _draw(
                model, tokenizer, [ids[i] for i in batch], [distinct[i] for i in batch], count=count, config=config
            )
            for place, index in enumerate(batch):
                found[distinct[index]] = texts[place * count : (place + 1) * count]
    return [found[text] for text in inputs]


def _draw(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Sequence[int]],
    inputs: Sequence[str],
    *,
    count: int,
    config: GenerationConfig,
) -> list[str]:
    """The answers of one batch, `count` of each row one after the other."""
    batch = tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt").to(model.device)
    hidden = model.get_encoder()(**batch).last_hidden_state
    noise = torch.stack([_noise(text, number, config.max_new_tokens) for text in inputs for number in range(count)])
    output = model.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=hidden.repeat_interleave(count, dim=0)),
        attention_mask=batch["attention_mask"].repeat_interleave(count, dim=0),
        generation_config=config,
        logits_processor=LogitsProcessorList([_Noisy(noise.to(model.device))]),
    )
    return decode(tokenizer, output)


def _noise(inputs: str, number: int, steps: int) -> torch.Tensor:
    """Gumbel noise, steps x TOP; none for the first answer."""
    if number == 0:
        return torch.zeros(steps, TOP)
    generator = torch.Generator().manual_seed(seed_of(inputs, number))
    uniform = torch.rand(steps, TOP, generator=generator, dtype=torch.float64)
    return -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-12))).float()


class _Noisy(LogitsProcessor):  # type: ignore[misc]
    """Leaves the TOP likeliest entries of each row, with the noise of the step. noise: rows x steps x TOP."""

    def __init__(self, noise: torch.Tensor) -> None:
        self._noise = noise
        self._step = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        top, index = scores.float().topk(TOP, dim=-1)
        noisy = top + self._noise[:, self._step]
        self._step += 1
        return torch.full_like(scores, -torch.inf, dtype=torch.float32).scatter(1, index, noisy)
