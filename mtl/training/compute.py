"""How a step is computed: each switch of the configuration, or what was measured to be best where it says `auto`.

The table behind `auto` is in docs/training.md, its measurements in docs/log.md. A choice changes how fast a step is,
not what it computes, but for the rounding that is stated there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mtl.config.train import TrainConfig
from mtl.errors import ConfigError

LOSS_CHUNK = 128  # target tokens: 128 x 32128 logits are 16 MB, about what a CPU's cache holds
_GPU_LOGITS = 2**31  # bytes: products of thousands of tokens, and a fortieth of the memory of a large GPU
_LOGIT = 12  # bytes: in bf16, in fp32, their log-softmax in fp32, and its exponential in bf16


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """layout: packed, padded or fused. attention: of the padded layout. loss_chunk: targets with logits at a time."""

    bf16: bool
    layout: str
    attention: str
    loss_chunk: int
    optimizer: str
    compile: bool
    gradient_checkpointing: bool

    def to_dict(self) -> dict[str, Any]:
        """What events and MLflow say of it."""
        return asdict(self)


def resolve_compute(
    train: TrainConfig, *, bf16: bool, device: str, vocabulary: int, obstacle: str | None
) -> ComputeSettings:
    """bf16: whether precision asks for it. vocabulary: rows of the head.

    obstacle: why neither the packed nor the fused layout can compute this model, if so. Errors: ConfigError, saying
    why, if one of them is asked for by name and cannot be had.
    """
    if train.layout in ("packed", "fused") and obstacle:
        problem = ("train.layout", f"{train.layout} cannot be had: {obstacle}")
        raise ConfigError("configuration", [problem], hint="train.layout: auto takes what fits the model")
    optimizers = {"adamw": "adamw_torch_fused", "adafactor": "adafactor"}
    return ComputeSettings(
        bf16=bf16,
        layout=_layout(train, device, obstacle) if train.layout == "auto" else train.layout,
        attention="sdpa" if train.attn_implementation == "auto" else train.attn_implementation,
        loss_chunk=train.loss_chunk or _loss_chunk(device, vocabulary),
        optimizer=optimizers[train.optimizer],
        compile=train.torch_compile,
        gradient_checkpointing=train.gradient_checkpointing,
    )


def _layout(train: TrainConfig, device: str, obstacle: str | None) -> str:
    if obstacle:
        return "padded"
    if device == "cuda":
        return "fused"
    return "padded" if train.torch_compile else "packed"


def _loss_chunk(device: str, vocabulary: int) -> int:
    return LOSS_CHUNK if device == "cpu" else max(LOSS_CHUNK, _GPU_LOGITS // (_LOGIT * vocabulary))
