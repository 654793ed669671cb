"""The Seq2SeqTrainer underneath, with our batches, a loss per target token and per task, and our checkpoint files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from mtl.errors import PermanentError
from mtl.model.adapter import save_adapter
from mtl.model.padded import IGNORED
from mtl.model.step import install
from mtl.training import ranks
from mtl.training.batches import RankBatches
from mtl.training.compute import ComputeSettings
from mtl.training.dataset import TokenisedSplit, collate


class LoraTrainer(Seq2SeqTrainer):  # type: ignore[misc]  # transformers is not followed by mypy
    """Trains the adapter.

    The loss of an optimizer step is the mean over all its target tokens, over all batches and ranks, however their
    sizes differ. `window` sums loss and tokens per task since the last log, `take_step` those since it was last called.
    """

    def __init__(
        self,
        model: Any,
        args: Seq2SeqTrainingArguments,
        *,
        split: TokenisedSplit,
        batches: RankBatches,
        compute: ComputeSettings,
        embedding_learning_rate: float | None = None,
    ) -> None:
        super().__init__(model=model, args=args, train_dataset=split)
        self._split = split
        self.batches = batches
        self._embedding_learning_rate = embedding_learning_rate
        self.compute = compute
        # Now that the model is on its device: from here on its forward pass gives a loss for each row.
        install(
            model.get_base_model(),
            layout=compute.layout,
            bf16=compute.bf16,
            chunk=compute.loss_chunk,
            recompute=compute.gradient_checkpointing,
        )
        # compute_loss below divides by the token count of the whole accumulated step.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self._reset_window()
        self._step = (0.0, 0.0)

    optimizer: Any  # declared by transformers, which mypy does not follow

    def create_optimizer(self, model: Any = None) -> Any:
        """The new rows are a group of their own: another learning rate, no weight decay."""
        if self.optimizer is None:
            trained = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
            rows = [p for name, p in trained if "trainable_tokens" in name]
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            groups: list[dict[str, Any]] = [
                {"params": [p for name, p in trained if "trainable_tokens" not in name]},
                {"params": rows, "weight_decay": 0.0, "lr": self._embedding_learning_rate or self.args.learning_rate},
            ]
            self.optimizer = kind([group for group in groups if group["params"]], **_decayed(options, self.args))
        return self.optimizer

    def get_train_dataloader(self) -> DataLoader[Any]:
        # Not prepared by accelerate: RankBatches is already the share of this rank.
        return DataLoader(
            self._split,
            batch_sampler=self.batches,
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
        by_row = _by_row(model, inputs)
        total = by_row.sum()
        self._check_finite(total, self.state.global_step + 1)
        self._watch(by_row.detach(), labels, inputs["attention_mask"], task_ids)
        items = num_items_in_batch if num_items_in_batch is not None else (labels != IGNORED).sum()
        loss = total / items * self.accelerator.num_processes
        return (loss, {"loss": loss}) if return_outputs else loss

    def validate(self, batches: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, float]:
        """Loss per target token of each task, over the batches of all ranks. Draws no random number.

        No data loader: starting one takes a number from the generator that dropout draws from.
        """
        began = time.monotonic()
        loss, tokens = self._per_task(), self._per_task()
        self.model.eval()
        with torch.no_grad():
            for batch in batches:
                by_row = _by_row(self.model, {name: tensor.to(self.args.device) for name, tensor in batch.items()})
                self._check_finite(by_row.sum(), self.state.global_step)
                loss.index_add_(0, batch["task_ids"], by_row.double().cpu())
                tokens.index_add_(0, batch["task_ids"], (batch["labels"] != IGNORED).sum(1).double())
        self.model.train()
        loss, tokens = self._of_all_ranks(loss, tokens)
        self._since += time.monotonic() - began  # no part of the speed of training
        return dict(zip(self._split.tasks, (loss / tokens).tolist(), strict=True))

    def _of_all_ranks(self, *parts: torch.Tensor) -> list[torch.Tensor]:
        """The sum over all ranks of each of `parts`, added in the order of the ranks."""
        return [torch.stack(values).sum(0) for values in zip(*ranks.gather(parts), strict=True)]

    def _check_finite(self, total: torch.Tensor, step: int) -> None:
        if not torch.isfinite(total):
            raise PermanentError(
                f"the loss became {float(total.detach())} at step {step}",
                field="train.learning_rate",
                hint="lower train.learning_rate or raise train.warmup_steps; the last checkpoint is kept",
            )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # on every rank at the same step
            loss, tokens = self._of_all_ranks(self._loss_of_task, self._tokens_of_task)
            seen = zip(self._split.tasks, (loss / tokens).tolist(), tokens.tolist(), strict=True)
            logs.update({f"loss/{task}": value for task, value, count in seen if count})
            logs["loss"] = float(loss.sum() / tokens.sum())
            logs["tokens_per_second"] = sum(ranks.gather(self._real_tokens)) / (time.monotonic() - self._since)
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

    def _watch(self, by_row: torch.Tensor, labels: torch.Tensor, mask: torch.Tensor, task_ids: torch.Tensor) -> None:
        tokens, losses = (labels != IGNORED).sum(1), by_row.double().cpu()
        self._loss_of_task.index_add_(0, task_ids.cpu(), losses)
        self._tokens_of_task.index_add_(0, task_ids.cpu(), tokens.double().cpu())
        self._step = (self._step[0] + float(losses.sum()), self._step[1] + float(tokens.sum()))
        self._real_tokens += int(tokens.sum() + mask.sum())

    def take_step(self) -> tuple[float, float]:
        """(summed loss, target tokens) of this rank since this was last called."""
        taken, self._step = self._step, (0.0, 0.0)
        return taken

    def _reset_window(self) -> None:
        self._loss_of_task, self._tokens_of_task = self._per_task(), self._per_task()
        self._real_tokens = 0
        self._since = time.monotonic()

    def _per_task(self) -> torch.Tensor:
        return torch.zeros(len(self._split.tasks), dtype=torch.double)


def _by_row(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Summed loss of each row, on the graph."""
    names = ("input_ids", "attention_mask", "labels")
    by_row: torch.Tensor = model(**{name: inputs[name] for name in names})
    return by_row


def _decayed(options: dict[str, Any], args: Seq2SeqTrainingArguments) -> dict[str, Any]:
    return {**options, "weight_decay": args.weight_decay}


def training_arguments(
    *,
    work: Path,
    seed: int,
    max_steps: int,
    gradient_accumulation_steps: int,
    learning_rate: float,
    lr_scheduler_type: str,
    warmup_steps: int,
    weight_decay: float,
    max_grad_norm: float,
    compute: ComputeSettings,
    device: str,
    save_steps: int,
    logging_steps: int,
    dataloader_num_workers: int,
) -> Seq2SeqTrainingArguments:
    """Arguments of transformers' trainer. Retention, resume and signals are ours, so its own are off."""
    return Seq2SeqTrainingArguments(
        output_dir=str(work / "trainer"),
        seed=seed,
        data_seed=seed,
        max_steps=max_steps,
        gradient_accumulation_steps=gradient_accumulation_steps,
        learning_rate=learning_rate,
        lr_scheduler_type=lr_scheduler_type,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        optim=compute.optimizer,
        bf16=compute.bf16,
        torch_compile=compute.compile,
        use_cpu=device == "cpu",
        save_strategy="steps",
        save_steps=save_steps,
        logging_strategy="steps",
        logging_steps=logging_steps,
        logging_nan_inf_filter=False,
        dataloader_num_workers=dataloader_num_workers,
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
    )
