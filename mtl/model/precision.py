"""Which number format a device is fastest in."""

from __future__ import annotations

import torch

# Below this width the casts of autocast cost more than the products save (docs/log.md).
_NARROW = 256


def use_bf16(precision: str, *, d_model: int, device: str) -> bool:
    """True for bf16 autocast. Never fp16: T5's activations overflow it (huggingface/transformers issue 4938)."""
    if precision != "auto":
        return precision == "bf16"
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capable = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return bool(capable) and d_model >= _NARROW


def device_kind() -> str:
    """cuda where there is a GPU, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"
