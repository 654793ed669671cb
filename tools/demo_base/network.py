"""The shape of the demo base: FLAN-T5's structure, a few hundred times smaller, and how it is written and checked."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, GenerationConfig, T5Config, T5ForConditionalGeneration, T5Tokenizer

Weights = dict[str, torch.Tensor]
TASK_TOKENS = 2
"""Rows that must be left for the service's own task tokens."""


def rows(tokens: int) -> int:
    """Embedding rows for a tokenizer of `tokens` tokens: room for the task tokens, padded to a multiple of 32."""
    return -(-(tokens + TASK_TOKENS) // 32) * 32


def create(tokens: int, *, seed: int) -> T5ForConditionalGeneration:
    """A freshly initialised model with an untied head; about 2.2 million parameters."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=rows(tokens),
        d_model=128,
        d_kv=32,
        num_heads=4,
        d_ff=320,
        num_layers=4,
        num_decoder_layers=4,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    _incline_to_copy(model)
    return model


@torch.no_grad()
def begin_from(model: T5ForConditionalGeneration, folder: Path) -> None:
    """Takes over the weights of a base of the same width with the same number of layers or fewer.

    Decoder layers that it lacks go before its last one and add nothing at first, so it writes what the base does.
    """
    stored = load_file(folder / "model.safetensors")
    there = 1 + max(int(name.split(".")[2]) for name in stored if name.startswith("decoder.block"))
    layers = model.config.num_decoder_layers
    last = f"decoder.block.{there - 1}."
    moved = {name.replace(last, f"decoder.block.{layers - 1}."): value for name, value in stored.items()}
    missing = model.load_state_dict(moved, strict=False).missing_keys
    for name, value in model.named_parameters():
        if name in missing:
            assert int(name.split(".")[2]) in range(there - 1, layers - 1), f"{folder} lacks {name}"
            if name.endswith((".o.weight", ".wo.weight")):
                value.zero_()


@torch.no_grad()
def _incline_to_copy(model: T5ForConditionalGeneration) -> None:
    """Starting weights from which copying is found in hundreds of steps instead of thousands.

    The head starts as the scaled embedding (and stays a matrix of its own), cross-attention starts by looking for what
    is like the query, and some heads start by looking at the neighbour: together nearly a circuit that copies.
    """
    size = model.config.d_model
    model.shared.weight.normal_(std=1.0)
    model.lm_head.weight = torch.nn.Parameter(model.shared.weight * size**-0.5)
    before, after, same = 1, 17, 0  # buckets of relative positions -1, +1 and 0 in an encoder with 32 of them
    encoder: Any = model.encoder.block[0].layer[0]
    bias = encoder.SelfAttention.relative_attention_bias.weight
    bias[before, 0] += 4.0
    bias[after, 1] += 4.0
    bias[same, 2] += 2.0
    decoder: Any = model.decoder.block[0].layer[0]
    decoder.SelfAttention.relative_attention_bias.weight[before, 0] += 4.0
    for block in model.decoder.block:
        cross: Any = block.layer[1].EncDecAttention
        cross.k.weight.copy_(cross.q.weight * model.config.d_kv**0.5)


def publish(
    model: T5ForConditionalGeneration, tokenizer: T5Tokenizer, weights: dict[str, torch.Tensor], out: Path
) -> None:
    """Writes config, tokenizer and `weights` (a state dict) as a model folder, each file aside first, then renamed."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        own = {name: value for name, value in weights.items() if not name.endswith("embed_tokens.weight")}
        model.save_pretrained(folder, state_dict=own)
        GenerationConfig(decoder_start_token_id=0, pad_token_id=0, eos_token_id=1).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for path in sorted(Path(folder).iterdir()):
            path.chmod(0o644)
            path.replace(out / path.name)


@torch.no_grad()
def check(model: T5ForConditionalGeneration, weights: Weights, out: Path) -> float:
    """Reloads the folder: the head is its own matrix and the logits equal the trained model's. Returns their norm."""
    stored = load_file(out / "model.safetensors")
    assert "lm_head.weight" in stored, "the file has no head of its own"
    loaded: Any = AutoModelForSeq2SeqLM.from_pretrained(out).eval()
    assert loaded.lm_head.weight.data_ptr() != loaded.shared.weight.data_ptr(), "the head is tied to the embedding"
    twin = type(model)(model.config).eval()
    twin.lm_head.weight = torch.nn.Parameter(twin.lm_head.weight.clone())
    twin.load_state_dict(weights)
    ids = torch.arange(3, 43).reshape(2, 20)
    logits = [m(input_ids=ids, decoder_input_ids=ids).logits for m in (loaded, twin)]
    assert torch.equal(logits[0], logits[1]), "reloaded logits differ"
    return float(logits[0].norm())
