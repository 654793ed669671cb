"""How fast does this device generate? Parts of gpu.py: generation, compiled_generation.

FLAN-T5-base's shape with random weights, inputs of up to 512 tokens. `seed` is what predict_with_generate does: fp32,
eight inputs at a time in their order. `ours` is the evaluation's predictor, in fp32, which must write the same texts,
and in bf16. Tokens are those that were written, `</s>` and padding not counted.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from training_sides import SHAPES
from transformers import T5Config, T5ForConditionalGeneration

from mtl.evaluation.predictor import Precision, generate_texts
from mtl.model.base import DEMO, resolve_base
from mtl.model.tokenizer import load_tokenizer

Side = Callable[[], list[str]]


def generation(*, tiny: bool, compiled: bool) -> dict[str, Any]:
    """Seconds and tokens a second of each side, its second run; peak memory; the share of equal texts in fp32."""
    device = "cpu" if tiny else "cuda"
    model, tokenizer = model_of("tiny" if tiny else "base", device)
    if compiled:
        model.forward = torch.compile(model.forward, dynamic=True)
    inputs = texts(tokenizer, 8 if tiny else 128, 40 if tiny else 500)
    limit = 12 if tiny else 64
    sides: dict[str, Side] = {
        "seed": lambda: predicted(model, tokenizer, inputs, limit, "fp32", rows=8),
        "ours fp32": lambda: predicted(model, tokenizer, inputs, limit, "fp32"),
        "ours bf16": lambda: predicted(model, tokenizer, inputs, limit, "bf16"),
    }
    found: dict[str, dict[str, float | None]] = {}
    written: dict[str, list[str]] = {}
    for name, side in sides.items():
        side()
        if not tiny:
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        written[name] = side()
        seconds = time.perf_counter() - began
        tokens = sum(len(ids) - 1 for ids in tokenizer(written[name])["input_ids"])
        peak = None if tiny else torch.cuda.max_memory_allocated() // 2**20
        found[name] = {
            "seconds": round(seconds, 3),
            "tokens_per_second": round(tokens / seconds, 1),
            "peak_gpu_mb": peak,
        }
    equal = sum(a == b for a, b in zip(written["seed"], written["ours fp32"], strict=True)) / len(inputs)
    return {
        "device": "cpu" if tiny else torch.cuda.get_device_name(),
        "sides": found,
        "equal": equal,
        "checks": {"texts of fp32 are equal (99%)": equal >= 0.99},
    }


def predicted(
    model: Any, tokenizer: Any, inputs: list[str], limit: int, precision: Precision, rows: int = 0
) -> list[str]:
    """Texts of the predictor; with `rows`, that many inputs at a time in their order."""
    options: dict[str, Any] = {"max_new_tokens": limit, "max_input_tokens": 512, "precision": precision}
    parts = [inputs[at : at + rows] for at in range(0, len(inputs), rows)] if rows else [inputs]
    return [text for part in parts for text in generate_texts(model, tokenizer, part, batch_tokens=65536, **options)]


def model_of(shape: str, device: str) -> tuple[Any, Any]:
    """A model whose answers end at different lengths, as real ones do: `</s>` is made likely enough."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(resolve_base(DEMO).location, [])
    config = T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", decoder_start_token_id=0, **SHAPES[shape])
    model = T5ForConditionalGeneration(config).eval()
    head = torch.randn(32128, config.d_model)
    head[len(tokenizer) :] = 0  # rows of the padding are never written
    head[tokenizer.eos_token_id] *= 1.7
    model.lm_head.weight = torch.nn.Parameter(head)
    return model.to(device), tokenizer


def texts(tokenizer: Any, count: int, longest: int) -> list[str]:
    """Texts of random tokens, half of them as long as the model reads."""
    draw = random.Random(0)
    lengths = [longest if number % 2 else draw.randint(longest // 3, longest) for number in range(count)]
    ids = [[draw.randrange(100, len(tokenizer) - 10) for _ in range(length)] for length in lengths]
    return [str(text) for text in tokenizer.batch_decode(ids)]


def main() -> None:
    """Run the part that argument 1 names."""
    tiny = "--tiny" in sys.argv
    if not tiny and not torch.cuda.is_available():
        raise SystemExit("no GPU: --tiny runs on a CPU")
    print(json.dumps(generation(tiny=tiny, compiled=sys.argv[1] == "compiled_generation")))


if __name__ == "__main__":
    main()
