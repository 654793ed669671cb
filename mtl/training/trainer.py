"""The Seq2SeqTrainer underneath, with our batches, a loss per target token and per task, and our checkpoint files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from mtl.errors import PermanentError
from mtl.model.adapter import save_adapter
from mtl.training import ranks
from mtl.training.batches import RankBatches
from mtl.training.dataset import TokenisedSplit, collate


class LoraTrainer(Seq2SeqTrainer):  # type: ignore[misc]  # transformers is not followed by mypy
    """Trains the adapter.

    The loss of an optimizer step is the mean over all its target tokens, over all batches and ranks, however their
    sizes differ. `window` sums loss and tokens per task since the last log.
    """

    def __init__(
        self, model: torch.nn.Module, args: Seq2SeqTrainingArguments, *, split: TokenisedSplit, batches: RankBatches
    ) -> None:
        super().__init__(model=model, args=args, train_dataset=split)
        self._split = split
        self._batches = batches
        # compute_loss below divides by the token count of the whole accumulated step.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self._reset_window()

    def get_train_dataloader(self) -> DataLoader[Any]:
        # Not prepared by accelerate: RankBatches is already the share of this rank.
        return DataLoader(
            self._split,
            batch_sampler=self._batches,
            collate_fn=collate,
            num_workers=self.args.dataloader_num_workers,
            multiprocessing_context="spawn" if self.args.dataloader_num_workers else None,
        )

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        labels, task_ids = inputs["labels"], inputs["task_ids"]
        logits = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            decoder_input_ids=self._shift_right(labels),
        ).logits
        losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=-100, reduction="none")
        by_row = losses.view(labels.shape).sum(1)
        total = by_row.sum()
        if not torch.isfinite(total):
            raise PermanentError(
                f"the loss became {float(total.detach())} at step {self.state.global_step + 1}",
                field="train.learning_rate",
                hint="lower train.learning_rate or raise train.warmup_steps; the last checkpoint is kept",
            )
        self._watch(by_row.detach(), labels, inputs["attention_mask"], task_ids)
        items = num_items_in_batch if num_items_in_batch is not None else (labels != -100).sum()
        loss = total / items * self.accelerator.num_processes
        return (loss, {"logits": logits}) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._tokens_of_task.sum():
            loss = self._loss_of_task / self._tokens_of_task.clamp(min=1)
            seen = zip(self._split.tasks, loss.tolist(), self._tokens_of_task.tolist(), strict=True)
            logs.update({f"loss/{task}": value for task, value, tokens in seen if tokens})
            logs["loss"] = float(self._loss_of_task.sum() / self._tokens_of_task.sum())
            logs["tokens_per_second"] = self._real_tokens / (time.monotonic() - self._since)
            self._reset_window()
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # Adapter only; in particular no pickled training arguments.
        save_adapter(self.model, Path(output_dir or self.args.output_dir))

    def _save_rng_state(self, output_dir: str) -> None:
        # Rank 0 writes the states of all ranks, which may be on other machines; its own is also that of a run of one.
        super()._save_rng_state(output_dir)
        if self.args.world_size > 1:
            own = Path(output_dir) / f"rng_state_{self.args.process_index}.pth"
            for rank, data in enumerate(ranks.gather(own.read_bytes())):
                if self.args.process_index == 0:
                    (own.parent / f"rng_state_{rank}.pth").write_bytes(data)
                    if rank == 0:
                        (own.parent / "rng_state.pth").write_bytes(data)

    def _shift_right(self, labels: torch.Tensor) -> torch.Tensor:
        config = self.model.config
        shifted = labels.new_full(labels.shape, config.decoder_start_token_id)
        shifted[:, 1:] = labels[:, :-1].masked_fill(labels[:, :-1] == -100, config.pad_token_id)
        return shifted

    def _watch(self, by_row: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, task_ids: torch.Tensor) -> None:
        tokens = (labels != -100).sum(1)
        self._loss_of_task.index_add_(0, task_ids.cpu(), by_row.double().cpu())
        self._tokens_of_task.index_add_(0, task_ids.cpu(), tokens.double().cpu())
        self._real_tokens += int(tokens.sum() + mask.sum())

    def _reset_window(self) -> None:
        self._loss_of_task = torch.zeros(len(self._split.tasks), dtype=torch.double)
        self._tokens_of_task = torch.zeros(len(self._split.tasks), dtype=torch.double)
        self._real_tokens = 0
        self._since = time.monotonic()


def training_arguments(
    *,
    work: Path,
    seed: int,
    max_steps: int,
    accumulation: int,
    learning_rate: float,
    schedule: str,
    warmup_steps: int,
    weight_decay: float,
    max_grad_norm: float,
    optimizer: str,
    bf16: bool,
    device: str,
    save_steps: int,
    log_steps: int,
    workers: int,
) -> Seq2SeqTrainingArguments:
    """Arguments of transformers' trainer. Retention, resume and signals are ours, so its own are off."""
    return Seq2SeqTrainingArguments(
        output_dir=str(work / "trainer"),
        seed=seed,
        data_seed=seed,
        max_steps=max_steps,
        gradient_accumulation_steps=accumulation,
        learning_rate=learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        optim={"adamw": "adamw_torch", "adafactor": "adafactor"}[optimizer],
        bf16=bf16,
        use_cpu=device == "cpu",
        save_strategy="steps",
        save_steps=save_steps,
        logging_strategy="steps",
        logging_steps=log_steps,
        logging_nan_inf_filter=False,
        dataloader_num_workers=workers,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
    )


Emit = Callable[..., None]
