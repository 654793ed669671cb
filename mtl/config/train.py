"""How the adapter is trained. Names are those of transformers' TrainingArguments, where it has one for the thing."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from mtl.config.section import Section

RENAMED = {
    "accumulation": "gradient_accumulation_steps",
    "rows_learning_rate": "embedding_learning_rate",
    "schedule": "lr_scheduler_type",
    "attention": "attn_implementation",
    "compile": "torch_compile",
    "log_steps": "logging_steps",
    "best_metric": "metric_for_best_model",
    "keep": "load_best_model_at_end (true for best, false for last)",
    "patience": "early_stopping_patience",
    "workers": "dataloader_num_workers",
}
"""Former name of a field -> what it is called now."""


SCRATCH, CHAMPION = "scratch", "champion"
WARM_SHARE = 10
"""A warm start has this fraction of the steps of a full run, unless `warm_steps` says otherwise."""
WARM_RATE = 0.3
"""A warm start has this fraction of the learning rate of a full run, unless `warm_learning_rate` says otherwise: at the
full rate, so few steps lose what the adapter had learned (docs/log.md)."""


class TrainConfig(Section):
    """Optimization, batches and checkpoints."""

    max_steps: int = Field(1000, ge=1, description="Number of optimizer steps.")
    from_: str = Field(
        SCRATCH,
        alias="from",
        description="Adapter that training starts from. scratch is a new one. champion is the champion's, with a full "
        "run where the policy of full_every and full_above asks for one. vN is that of this version.",
    )
    warm_steps: int | None = Field(
        None,
        ge=1,
        description="Number of optimizer steps of a run that starts from another adapter, whose schedule they are. If "
        "empty, a tenth of max_steps.",
    )
    warm_learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Peak learning rate of such a run. If empty, 0.3 times learning_rate. embedding_learning_rate is "
        "scaled in the same way.",
    )
    replay_share: float = Field(
        0.75,
        ge=0,
        lt=1,
        description="Share of the examples of such a run that are drawn from the rows that the parent's data set had "
        "already. The others are drawn from the new rows, but a new row is drawn at most 25 times as often as in a "
        "full run, so that a few new rows do not become a quarter of a training. With data.mixture.feedback this "
        "holds within the rows from feedback and within the others, so that more is replayed if one of the two has "
        "no new rows.",
    )
    full_every: int = Field(
        7,
        ge=1,
        description="With from: champion, every run of this number is a full one, counted over all versions of the "
        "model, promoted or refused. 7 makes six warm starts between two full runs, and 1 makes every run a full one.",
    )
    full_above: float = Field(
        0.2,
        ge=0,
        le=1,
        description="With from: champion, a full run is made if more than this share of the training examples changed "
        "since the champion's.",
    )
    max_tokens_per_batch: int = Field(
        4096,
        ge=64,
        description="Source and target tokens of one batch, padding included. Lower it if memory runs out.",
    )
    gradient_accumulation_steps: int = Field(
        1, ge=1, description="Number of batches whose gradients are added up for one optimizer step."
    )
    learning_rate: float = Field(
        1e-3, gt=0, le=1, description="Peak learning rate after warm-up. LoRA usually takes 0.0003 to 0.003."
    )
    embedding_learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Peak learning rate of the embedding rows of the task tokens. If empty, learning_rate.",
    )
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = Field(
        "linear", description="How the learning rate changes after warm-up."
    )
    warmup_steps: int = Field(
        20, ge=0, description="Number of steps in which the learning rate rises linearly from 0 to its peak."
    )
    weight_decay: float = Field(0.0, ge=0, lt=1, description="Decoupled weight decay (AdamW). 0 turns it off.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients with a larger norm are scaled down to this norm.")
    optimizer: Literal["adamw", "adafactor"] = Field(
        "adamw", description="Optimizer. adafactor needs a fraction of the memory of adamw."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="Number format of the computation. auto is bf16 autocast where that is faster.",
    )
    base_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout in the frozen base model.")
    layout: Literal["auto", "packed", "padded", "fused"] = Field(
        "auto",
        description="How a batch is computed. packed computes real tokens only, padded is transformers' own forward "
        "pass, fused is padded with fused attention. auto is packed on a CPU and fused on a GPU.",
    )
    attn_implementation: Literal["auto", "sdpa", "eager"] = Field(
        "auto", description="Attention of the padded layout. auto is sdpa."
    )
    loss_chunk: int | None = Field(
        None,
        ge=1,
        description="Number of target tokens whose logits are held at a time. Lower it to save memory. If empty, 128 "
        "on a CPU, and what takes 2 GB on a GPU.",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Compute the activations of each block again for its gradient. It costs a third of the speed and "
        "saves most of the memory.",
    )
    torch_compile: bool = Field(
        False,
        description="Compile the model with torch.compile (padded and fused layout). It takes minutes at the start.",
    )
    save_steps: int = Field(50, ge=1, description="A checkpoint is saved every this many optimizer steps.")
    logging_steps: int = Field(10, ge=1, description="The losses are logged every this many optimizer steps.")
    eval_steps: int | None = Field(
        None,
        ge=1,
        description="The validation loss is measured every this many optimizer steps. If empty, it is not measured.",
    )
    eval_examples: int = Field(
        64, ge=1, description="Number of validation examples of each task that the validation loss is measured on."
    )
    eval_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Share of the validation passages that eval_examples are drawn from. They choose the checkpoint, "
        "and a version is never judged by them: evaluate.split validation is the others (needs eval_steps).",
    )
    metric_for_best_model: str = Field(
        "loss",
        pattern="^loss(/.+)?$",
        description="The validation loss that decides which step is the best: loss (the mean over tasks) or loss/TASK.",
    )
    load_best_model_at_end: bool = Field(
        True, description="Release the adapter of the best measured step (needs eval_steps) instead of the last step."
    )
    early_stopping_patience: int | None = Field(
        None,
        ge=1,
        description="Stop the training after this many measurements without a better one (needs eval_steps). If empty, "
        "it never stops early.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="Number of CPU threads. If empty, all cores, or 1 with run.engine: ray. Another number rounds "
        "differently, so that it is another run.",
    )
    dataloader_num_workers: int = Field(
        0, ge=0, le=16, description="Number of processes that load data. 0 loads in the trainer."
    )
    resume: Literal["exact", "compatible"] = Field(
        "exact",
        description="Which checkpoints a run may continue from. exact asks for the same threads, device and number of "
        "processes. compatible allows others, and records that the run is no longer bit-exact.",
    )

    @field_validator("from_")
    @classmethod
    def _is_a_start(cls, value: str) -> str:
        if not re.fullmatch(rf"{SCRATCH}|{CHAMPION}|v[1-9][0-9]{{0,8}}", value):
            raise ValueError(f"expected {SCRATCH}, {CHAMPION}, or a version such as v3")
        return value

    @property
    def steps_of_warm_start(self) -> int:
        return self.warm_steps or max(1, self.max_steps // WARM_SHARE)

    @property
    def learning_rate_of_warm_start(self) -> float:
        return self.warm_learning_rate or WARM_RATE * self.learning_rate
