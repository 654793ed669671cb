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


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """layout: packed or padded. attention: of the padded layout. loss_chunk: target tokens with logits at a time."""

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


def resolve_compute(train: TrainConfig, *, bf16: bool, device: str, obstacle: str | None) -> ComputeSettings:
    """bf16: whether precision asks for it. obstacle: why the packed layout cannot compute this model, if it cannot.

    Errors: ConfigError, saying why, if the packed layout is asked for by name and cannot be had.
    """
    layout = train.layout
    if layout == "packed" and obstacle:
        problem = ("train.layout", f"packed cannot be had: {obstacle}")
        raise ConfigError("configuration", [problem], hint="train.layout: auto takes what fits the model")
    if layout == "auto":
        layout = "packed" if device == "cpu" and obstacle is None and not train.torch_compile else "padded"
    optimizers = {"adamw": "adamw_torch_fused", "adafactor": "adafactor"}
    return ComputeSettings(
        bf16=bf16,
        layout=layout,
        attention="sdpa" if train.attn_implementation == "auto" else train.attn_implementation,
        loss_chunk=train.loss_chunk or LOSS_CHUNK,
        optimizer=optimizers[train.optimizer],
        compile=train.torch_compile,
        gradient_checkpointing=train.gradient_checkpointing,
    )
