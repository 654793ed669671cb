"""FLOPs that a T5 with LoRA needs to learn from a batch, padding and recomputation not counted.

4 FLOPs for each frozen weight and token that passes it (forward, and the gradient of its input), 6 for each trained one
(its own gradient too), as in Kaplan et al. 2020, section 2.1; attention extra: 12 x inner width for each layer and pair
of tokens (scores and values, forward and the gradients of both factors), with the decoder's pairs behind the diagonal
counted as if they were computed. Source tokens pass the encoder and the keys and values of cross-attention, target
tokens the decoder and the head.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

Lengths = Mapping[str, float]
"""Sums over examples: source, target (tokens), source_source, target_target, source_target (pairs)"""


def lengths(attention_mask: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """What `training_flops` needs of a batch: attention_mask [rows, source], labels [rows, target], -100 at padding."""
    source, target = attention_mask.sum(1).double(), (labels != -100).sum(1).double()
    found = {"source": source, "target": target, "source_source": source**2, "target_target": target**2}
    found["source_target"] = source * target
    return {name: float(values.sum()) for name, values in found.items()}


def training_flops(shape: Mapping[str, int], of: Lengths, *, rank: int, vocabulary: int = 32128) -> float:
    """shape: d_model, d_kv, d_ff, num_layers, num_decoder_layers, num_heads. rank: of LoRA on q and v everywhere."""
    d, inner = shape["d_model"], shape["d_kv"] * shape["num_heads"]
    attention, feed_forward = 4 * d * inner, 3 * d * shape["d_ff"]
    adapter = rank * (d + inner)
    above, below = shape["num_layers"], shape["num_decoder_layers"]
    by_source = above * (4 * (attention + feed_forward) + 6 * 2 * adapter) + below * (4 * 2 * d * inner + 6 * adapter)
    by_target = below * (4 * (attention + 2 * d * inner + feed_forward) + 6 * 3 * adapter) + 4 * d * vocabulary
    pairs = above * of["source_source"] + below * (of["target_target"] + of["source_target"])
    return by_source * of["source"] + by_target * of["target"] + 12 * inner * pairs
