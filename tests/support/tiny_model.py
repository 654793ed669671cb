"""A T5 and a tokenizer small enough for tests, built like FLAN-T5: gated-gelu, untied head, padded vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

SPECIAL = ("<pad>", "</s>", "<unk>")
CHARACTERS = "▁" + "".join(map(chr, range(33, 127)))


def tiny_tokenizer(words: Iterable[str] = (), *, extra_tokens: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """Ids as in T5: pad 0, `</s>` 1, `<unk>` 2; then `words`, then single printable ASCII characters.

    Text in ASCII with single spaces survives encode and decode. `extra_tokens` become special tokens at the end.
    """
    pieces = [*dict.fromkeys([*(f"▁{word}" for word in words), *CHARACTERS])]
    vocabulary = [(token, 0.0) for token in SPECIAL] + [(piece, -float(not piece[1:]) - 1) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.normalizer = normalizers.Replace(" ", " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
    wrapped.add_special_tokens({"additional_special_tokens": list(extra_tokens)})
    return wrapped


def tiny_t5(vocab_size: int = 128, *, seed: int = 0, d_model: int = 32, layers: int = 2) -> T5ForConditionalGeneration:
    """Random weights that are a function of `seed`; in eval mode; lm_head is a matrix of its own."""
    config = T5Config(
        vocab_size=vocab_size,
        d_model=d_model,
        d_kv=8,
        d_ff=2 * d_model,
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        dropout_rate=0.1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = T5ForConditionalGeneration(config)
        # transformers 5 ties whatever the config says; a checkpoint with a head of its own loads untied.
        model.lm_head.weight = torch.nn.Parameter(torch.randn(vocab_size, d_model))
    assert model.lm_head.weight is not model.shared.weight
    return model.eval()


@cache
def plain_tokenizer() -> PreTrainedTokenizerFast:
    """`tiny_tokenizer()` made once, for tests that do not change it."""
    return tiny_tokenizer()


def encoded_rows(model: Any) -> list[int]:
    """The number of rows of each call of the model's encoder from now on."""
    found: list[int] = []
    forward = model.encoder.forward

    def count(*args: Any, **kwargs: torch.Tensor) -> Any:
        found.append(len(kwargs["input_ids"]))
        return forward(*args, **kwargs)

    model.encoder.forward = count
    return found
