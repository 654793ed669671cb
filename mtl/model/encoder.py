"""The encoder's output for generation on a CPU, computed without padding; see mtl/model/packed.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mtl.model.packed import Stack, embedded, knows_activation

Encoder = Callable[[Tensor, Tensor], Tensor]
"""(input_ids, attention_mask) [rows, tokens] to states [rows, tokens, width] fp32, zero at padding."""


def packed_encoder(model: Any) -> Encoder | None:
    """The encoder of `model` in float32; None if this is not a CPU or not the kind of T5 that `Stack` knows.

    Matrices that read the same input become parts of one, in the model too: its values stay what they are.
    """
    from transformers import T5ForConditionalGeneration

    if type(model) is not T5ForConditionalGeneration or model.device.type != "cpu" or model.dtype != torch.float32:
        return None
    linear = {type(module) for name, module in model.encoder.named_modules() if name.split(".")[-1] in _PRODUCTS}
    if linear != {nn.Linear} or not knows_activation(model):
        return None
    stack = Stack(model.encoder)

    def encode(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        real = attention_mask.bool()
        read = embedded(model.encoder.embed_tokens, input_ids[real])
        states = read.new_zeros(*input_ids.shape, read.shape[-1])
        lengths = real.sum(1).tolist()
        states[real] = stack(read, lengths, stack.position_bias(max(lengths)), torch.float32)
        return states

    return encode


_PRODUCTS = {"q", "k", "v", "o", "wi_0", "wi_1", "wo"}
