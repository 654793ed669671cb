"""Texts out of a T5: greedy or by beam search, sorted by length, in batches of a token budget.

Every side of a report is generated here with the same limits, so that scores repeat and compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, Protocol

import torch
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from mtl.decoding import GREEDY, Decoding
from mtl.model.encoder import Encoder, packed_encoder

Precision = Literal["fp32", "bf16"]
Progress = Callable[[int, int], None]
"""(inputs done, inputs in all), called after each batch."""


class Predictor(Protocol):
    """Anything that answers inputs with texts: the seam for other engines."""

    def __call__(self, inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        """One text for each input, in the order of the inputs; the same texts every time."""
        ...


def generate_texts(
    model: Any,
    tokenizer: Any,
    inputs: Sequence[str],
    *,
    max_new_tokens: int,
    max_input_tokens: int,
    batch_tokens: int,
    precision: Precision,
    decoding: Decoding = GREEDY,
    progress: Progress | None = None,
) -> list[str]:
    """The model's answer to each input, without special tokens, in the order of the inputs.

    Inputs are cut to `max_input_tokens` (`</s>` included); a caller who must not lose text looks before. A batch
    holds at most `batch_tokens` padded input tokens, counted once for each beam, or one input that is longer. Equal
    inputs are answered once.
    """
    if not inputs:
        return []
    distinct = list(dict.fromkeys(inputs))
    ids = tokenizer(distinct, truncation=True, max_length=max_input_tokens)["input_ids"]
    config = generation_config(model, tokenizer, max_new_tokens=max_new_tokens, decoding=decoding)
    budget = max(1, batch_tokens // decoding.num_beams)
    repeats = _counts(inputs, distinct)
    answers = [""] * len(distinct)
    done = 0
    with prepared(model, precision):
        encode = packed_encoder(model) if precision == "fp32" else None
        for batch in plan_batches([len(row) for row in ids], batch_tokens=budget):
            texts = _generate(model, tokenizer, [ids[i] for i in batch], config=config, encode=encode)
            for index, text in zip(batch, texts, strict=True):
                answers[index] = text
            done += sum(repeats[index] for index in batch)
            if progress is not None:
                progress(done, len(inputs))
    found = dict(zip(distinct, answers, strict=True))
    return [found[text] for text in inputs]


def plan_batches(lengths: Sequence[int], *, batch_tokens: int, rows: int | None = None) -> list[list[int]]:
    """Indices by batch, longest inputs first, so that memory runs out at once or never.

    Number x longest of a batch is at most `batch_tokens`, a single longer input apart, and the number at most `rows`.
    Each index occurs once.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    for index in order:
        room = bool(batches) and len(batches[-1]) != rows
        if room and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def generation_config(
    model: Any, tokenizer: Any, *, max_new_tokens: int, decoding: Decoding = GREEDY
) -> GenerationConfig:
    """Every field said: what is left out, `generate` takes from the base's own generation_config, which may sample,
    search beams or forbid repetition.
    """
    start = model.config.decoder_start_token_id
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        min_new_tokens=0,
        do_sample=False,
        num_beams=decoding.num_beams,
        num_return_sequences=1,
        length_penalty=decoding.length_penalty,
        repetition_penalty=1.0,
        encoder_repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        encoder_no_repeat_ngram_size=0,
        early_stopping=decoding.num_beams > 1,  # as CTranslate2: once as many beams have ended as there are
        use_cache=True,
        return_dict_in_generate=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id if start is None else start,
    )


def _generate(
    model: Any, tokenizer: Any, rows: Sequence[Sequence[int]], *, config: GenerationConfig, encode: Encoder | None
) -> list[str]:
    """Texts of one batch. `generate` ends when every row has written `</s>`, or at the limit."""
    batch = tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt").to(model.device)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    read = {} if encode is None else {"encoder_outputs": BaseModelOutput(last_hidden_state=encode(ids, mask))}
    output = model.generate(input_ids=ids, attention_mask=mask, generation_config=config, **read)
    return decode(tokenizer, output)


def decode(tokenizer: Any, output: Any) -> list[str]:
    """The texts of rows of ids, without special tokens."""
    # Said, not left to the tokenizer: cleaning up spaces would change what a parser reads.
    texts: list[str] = tokenizer.batch_decode(output, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return texts


@contextmanager
def prepared(model: Any, precision: Precision) -> Iterator[None]:
    """No dropout, no gradients, the precision asked for; the model's mode is restored."""
    training = model.training
    model.eval()
    autocast: AbstractContextManager[Any] = nullcontext()
    if precision == "bf16":
        autocast = torch.autocast(model.device.type, dtype=torch.bfloat16)
    try:
        with torch.no_grad(), autocast:
            yield
    finally:
        model.train(training)


def _counts(inputs: Sequence[str], distinct: Sequence[str]) -> list[int]:
    counts = dict.fromkeys(distinct, 0)
    for text in inputs:
        counts[text] += 1
    return [counts[text] for text in distinct]
