"""From the configuration to the model and the trainer of a run."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl.config.retrain import RetrainConfig
from mtl.data.tokens import check_tokenizer
from mtl.model.adapter import attach_lora
from mtl.model.base import BaseRef, load_base
from mtl.model.checks import check_start, probe_logits
from mtl.model.packed import why_not
from mtl.model.precision import device_kind, use_bf16
from mtl.model.tokenizer import load_tokenizer
from mtl.tasks.table import get_task
from mtl.training.batches import RankBatches, batch_stream
from mtl.training.compute import resolve_compute
from mtl.training.dataset import TokenisedSplit
from mtl.training.parts import Division, of_people, ordered_in_parts
from mtl.training.trainer import LoraTrainer, training_arguments
from mtl.training.warm import replayed


def build_model(config: RetrainConfig, ref: BaseRef, tasks: list[str], *, tokenizer_sha256: str | None = None) -> Any:
    """The base with its adapter, checked before the first step.

    tokenizer_sha256: of the data set, whose ids the model must share; None for no data set. Errors: ModelError.
    """
    tokens = [get_task(name).token for name in tasks]
    tokenizer = load_tokenizer(config.model.tokenizer or ref.location, tokens, revision=ref.revision)
    if tokenizer_sha256 is not None:
        check_tokenizer(tokenizer, tokenizer_sha256)
    base = load_base(ref, rows=len(tokenizer))
    _set_dropout(base, config.train.base_dropout)
    before = probe_logits(base)
    ids = tokenizer.convert_tokens_to_ids(tokens)
    lora = config.lora
    model = attach_lora(
        base,
        ids,
        r=lora.r,
        alpha=lora.alpha,
        dropout=lora.dropout,
        target_modules=lora.target_modules,
        rslora=lora.rslora,
        dora=lora.dora,
        base_name=config.model.base,
        revision=config.model.revision,
    )
    check_start(ref, base, model, dict(zip(tokens, ids, strict=True)), before=before)
    return model


def _set_dropout(model: torch.nn.Module, share: float) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = share  # type: ignore[assignment]  # T5's attention keeps its rate as a number


def build_trainer(
    config: RetrainConfig,
    model: Any,
    split: TokenisedSplit,
    work: Path,
    *,
    known: np.ndarray | None = None,
    people: np.ndarray | None = None,
) -> LoraTrainer:
    """The trainer, with the batches of this rank.

    known: for a warm start, which examples the parent's data set had. people: which examples come from people, where
    `data.mixture.feedback` says how often those are drawn.
    """
    train = config.train
    device = device_kind()
    compute = resolve_compute(
        train,
        bf16=use_bf16(train.precision, d_model=model.config.d_model, device=device),
        device=device,
        vocabulary=model.config.vocab_size,
        obstacle=why_not(model.get_base_model()),
    )
    model.get_base_model().set_attn_implementation(compute.attention)
    arguments = training_arguments(
        work=work,
        seed=config.seed,
        max_steps=train.max_steps,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.lr_scheduler_type,
        warmup_steps=train.warmup_steps,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        compute=compute,
        device=device,
        save_steps=train.save_steps,
        logging_steps=train.logging_steps,
        dataloader_num_workers=train.dataloader_num_workers,
    )

    rank, world = arguments.process_index, arguments.world_size
    batches = rank_batches(config, split, known=known, people=people, rank=rank, world=world)
    return LoraTrainer(
        model,
        arguments,
        split=split,
        batches=batches,
        compute=compute,
        embedding_learning_rate=train.embedding_learning_rate,
    )


def rank_batches(
    config: RetrainConfig,
    split: TokenisedSplit,
    *,
    known: np.ndarray | None = None,
    people: np.ndarray | None = None,
    rank: int = 0,
    world: int = 1,
) -> RankBatches:
    """All batches of a run on one rank. known, people: as for `build_trainer`."""
    train, mixture, seed = config.train, config.data.mixture, config.seed
    divisions: list[Division] = []
    if people is not None and mixture.feedback is not None:
        divisions.append(of_people(people, mixture.feedback))
    if known is not None:
        divisions.append(replayed(known, train.replay_share))

    def ordered(epoch: int) -> array[int]:
        if not divisions:
            return split.ordered(mixture, seed=seed, epoch=epoch)
        return ordered_in_parts(split, mixture, divisions, seed=seed, epoch=epoch)

    def stream() -> Iterator[list[int]]:
        return batch_stream(ordered, split.sources, split.targets, max_tokens=train.max_tokens_per_batch, seed=seed)

    return RankBatches(stream, total=train.max_steps * train.gradient_accumulation_steps, rank=rank, world=world)
