"""How the adapter is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.config.section import Section


class TrainConfig(Section):
    """Optimisation, batches, checkpoints."""

    max_steps: int = Field(1000, ge=1, description="optimizer steps")
    max_tokens_per_batch: int = Field(4096, ge=64, description="padded source + target tokens of one batch")
    accumulation: int = Field(1, ge=1, description="batches of one optimizer step")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="peak")
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = Field("linear", description="after warm-up")
    warmup_steps: int = Field(20, ge=0, description="steps of linear warm-up")
    weight_decay: float = Field(0.0, ge=0, lt=1, description="decoupled")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    optimizer: Literal["adamw", "adafactor"] = Field("adamw", description="optimizer")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 autocast where the device is faster"
    )
    base_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in the frozen base")
    save_steps: int = Field(50, ge=1, description="optimizer steps between checkpoints")
    log_steps: int = Field(10, ge=1, description="optimizer steps between logged losses")
    threads: int | None = Field(None, ge=1, description="CPU threads; part of the run's identity; default: all cores")
    workers: int = Field(0, ge=0, le=16, description="data loader processes")
    resume: Literal["exact", "compatible"] = Field(
        "exact", description="compatible lets threads, device and world size differ, and says so"
    )
