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
    rows_learning_rate: float | None = Field(
        None, gt=0, le=1, description="peak for the task tokens' embedding rows; null: as learning_rate"
    )
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = Field("linear", description="after warm-up")
    warmup_steps: int = Field(20, ge=0, description="steps of linear warm-up")
    weight_decay: float = Field(0.0, ge=0, lt=1, description="decoupled")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    optimizer: Literal["adamw", "adafactor"] = Field("adamw", description="optimizer")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 autocast where the device is faster"
    )
    base_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in the frozen base")
    layout: Literal["auto", "packed", "padded"] = Field(
        "auto", description="packed: compute real tokens only; padded: transformers' own pass; auto: packed on a CPU"
    )
    attention: Literal["auto", "sdpa", "eager"] = Field("auto", description="of the padded layout; auto: sdpa")
    loss_chunk: int | None = Field(None, ge=1, description="target tokens whose logits exist at a time; null: 128")
    gradient_checkpointing: bool = Field(
        False, description="compute each block again for its gradient: a third slower, a fraction of the memory"
    )
    compile: bool = Field(False, description="torch.compile, padded layout: costs minutes at the start")
    save_steps: int = Field(50, ge=1, description="optimizer steps between checkpoints")
    log_steps: int = Field(10, ge=1, description="optimizer steps between logged losses")
    eval_steps: int | None = Field(
        None, ge=1, description="optimizer steps between measurements on the validation split; null: none"
    )
    eval_examples: int = Field(64, ge=1, description="of each task: a seeded sample of the validation split")
    best_metric: str = Field(
        "loss",
        pattern="^loss(/.+)?$",
        description="what the best step is lowest in: loss (mean over tasks) or loss/TASK",
    )
    keep: Literal["best", "last"] = Field(
        "best", description="the adapter that comes out, where eval_steps is set: of the best measured step or the last"
    )
    patience: int | None = Field(
        None, ge=1, description="end after this many measurements without a better one; null: never"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; part of the run's identity; default: all cores")
    workers: int = Field(0, ge=0, le=16, description="data loader processes")
    resume: Literal["exact", "compatible"] = Field(
        "exact", description="compatible lets threads, device and world size differ, and says so"
    )
