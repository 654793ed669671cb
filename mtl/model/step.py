"""Which code computes the loss of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mtl.model.fused import FusedT5
from mtl.model.packed import PackedT5, why_not
from mtl.model.padded import PaddedT5, WholeT5


def install(
    model: Any, *, layout: str, bf16: bool, chunk: int, recompute: bool = False, backend: str | None = None
) -> None:
    """From here on the forward pass of `model`, which is on its device, gives a loss for each row.

    layout: packed, padded or fused. backend: of torch.compile, for the fused layout. bf16: whether products are in
    bf16. chunk: target tokens with logits at a time. recompute: gradient checkpointing (Chen et al. 2016): only the
    input of a block is kept for its gradient.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    engine: PackedT5 | PaddedT5 | FusedT5 | WholeT5
    if why_not(model):
        engine = WholeT5(model)
    elif layout == "fused":
        engine = FusedT5(model, dtype=dtype, chunk=chunk, backend=backend)
    else:
        engine = (PackedT5 if layout == "packed" else PaddedT5)(model, dtype=dtype, chunk=chunk)
    if recompute:
        model.activation_checkpointing_enable({"use_reentrant": False})  # what our own blocks look at too

    def forward(input_ids: Tensor, attention_mask: Tensor, labels: Tensor, **nothing: Any) -> Tensor:
        return engine.losses(input_ids, attention_mask, labels)

    model.forward = forward
