"""The count behind model FLOP utilisation is what torch counts in a real forward and backward pass."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import T5Config, T5ForConditionalGeneration

from mtl.model.adapter import attach_lora

FILE = Path(__file__).parents[2] / "benchmarks" / "training_flops.py"
SHAPE = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4}


def test_the_formula_counts_what_torch_counts() -> None:
    spec = importlib.util.spec_from_file_location("training_flops", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = T5Config(
        vocab_size=500, feed_forward_proj="gated-gelu", decoder_start_token_id=0, tie_word_embeddings=False, **SHAPE
    )
    base = T5ForConditionalGeneration(config).eval()
    base.set_attn_implementation("eager")  # torch does not count its fused attention on a CPU
    lora: dict[str, Any] = {"dropout": 0.0, "target_modules": ["q", "v"], "rslora": False}
    model = attach_lora(base, [3, 4], r=8, alpha=16, base_name="x", revision=None, **lora)
    base.enable_input_require_grads()  # the formula counts a gradient of every layer's input, the first one's too
    ids, labels = torch.randint(5, 500, (3, 40)), torch.randint(5, 500, (3, 24))
    ids[:, 0], labels[:, 0] = 3, 4
    with FlopCounterMode(display=False) as counted:
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss.backward()
    formula = module.training_flops(SHAPE, module.lengths(torch.ones_like(ids), labels), rank=8, vocabulary=500)
    assert formula == counted.get_total_flops()
