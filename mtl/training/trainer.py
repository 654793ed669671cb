"""The Seq2SeqTrainer underneath, with our batches, a loss per target token and per task, and our checkpoint files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments

from mtl.model.adapter import save_adapter
from mtl.model.padded import IGNORED
from mtl.model.step import install
from mtl.training import ranks
from mtl.training.batches import RankBatches
from mtl.training.compute import ComputeSettings
from mtl.training.dataset import Item, TokenisedSplit, collate
from mtl.training.loss_meter import LossMeter, check_finite
from mtl.training.streaming import StreamedBatches


class LoraTrainer(Seq2SeqTrainer):  # type: ignore[misc]  # transformers is not followed by mypy
    """Trains the adapter.

    The loss of an optimizer step is the mean over all its target tokens, over all batches and ranks, however their
    sizes differ. `meter` has the sums of loss and tokens. In a step of one process on a GPU the host never waits:
    batches are pinned and copied meanwhile, and what a step measures stays on the device (docs/training.md, GPUs).
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
        self._streamed: StreamedBatches | None = None
        self._embedding_learning_rate = embedding_learning_rate
        self.compute = compute
        # Now that the model is on its device: from here on its forward pass gives a loss for each row.
        install(
            model.get_base_model(),
            layout=compute.layout,
            bf16=compute.bf16,
            chunk=compute.loss_chunk,
            recompute=compute.gradient_checkpointing,
            backend="inductor" if compute.compile else None,
        )
        # compute_loss below divides by the token count of the whole accumulated step.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self.meter = LossMeter(len(split.tasks))

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
        if self._split.whole is None:
            # An item is a batch, so that a resume skips batches without reading them. The reading has its own thread.
            self._streamed = StreamedBatches(self._split, self.batches)
            numbers = BatchSampler(range(len(self.batches)), batch_size=1, drop_last=False)
            return DataLoader(
                self._streamed, batch_sampler=numbers, collate_fn=_collate_batch, pin_memory=self._on_gpu()
            )
        return DataLoader(
            self._split.whole,
            batch_sampler=self.batches,
            collate_fn=collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self._on_gpu(),
            multiprocessing_context="spawn" if self.args.dataloader_num_workers else None,
        )

    def stop_reading(self) -> None:
        """No more batches are needed."""
        if self._streamed is not None:
            self._streamed.close()

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        by_row = _by_row(model, inputs)
        self.meter.add(self.state.global_step + 1, by_row, inputs)
        items = num_items_in_batch if num_items_in_batch is not None else (inputs["labels"] != IGNORED).sum()
        loss = by_row.sum() / items * self.accelerator.num_processes
        return (loss, {"loss": loss}) if return_outputs else loss

    def validate(self, batches: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, float]:
        """Loss per target token of each task, over the batches of all ranks. Draws no random number.

        No data loader: starting one takes a number from the generator that dropout draws from.
        """
        if self._on_gpu():
            torch.cuda.synchronize()  # what the device still computes of the training is training
        began = time.monotonic()
        self.model.eval()
        with torch.no_grad():
            by_row = [_by_row(self.model, self._prepare_inputs(dict(batch))) for batch in batches]
        self.model.train()
        loss, tokens = (torch.zeros(len(self._split.tasks), dtype=torch.double) for _ in range(2))
        for batch, losses in zip(batches, by_row, strict=True):
            on_host = losses.double().cpu()
            check_finite(on_host, self.state.global_step)
            loss.index_add_(0, batch["task_ids"], on_host)
            tokens.index_add_(0, batch["task_ids"], (batch["labels"] != IGNORED).sum(1).double())
        loss, tokens = self._of_all_ranks(loss, tokens)
        self.meter.pause(time.monotonic() - began)
        return dict(zip(self._split.tasks, (loss / tokens).tolist(), strict=True))

    def _of_all_ranks(self, *parts: torch.Tensor) -> list[torch.Tensor]:
        """The sum over all ranks of each of `parts`, added in the order of the ranks."""
        return [torch.stack(values).sum(0) for values in zip(*ranks.gather(parts), strict=True)]

    def _on_gpu(self) -> bool:
        return bool(self.args.device.type == "cuda")

    def _prepare_input(self, data: Any) -> Any:
        """To the device, without waiting for what it is computing."""
        if isinstance(data, torch.Tensor) and self._on_gpu():
            return data.to(self.args.device, non_blocking=True)
        return super()._prepare_input(data)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        """A number on the host divides a loss on the device just as well, and needs no copy that waits."""
        of = device if self.args.world_size > 1 else torch.device("cpu")
        return super()._get_num_items_in_batch(batch_samples, of)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # on every rank at the same step
            window = self.meter.window()
            loss, tokens = self._of_all_ranks(window.loss, window.tokens)
            seen = zip(self._split.tasks, (loss / tokens).tolist(), tokens.tolist(), strict=True)
            logs.update({f"loss/{task}": value for task, value, count in seen if count})
            logs["loss"] = float(loss.sum() / tokens.sum())
            logs["tokens_per_second"] = sum(ranks.gather(window.real_tokens)) / (time.monotonic() - window.since)
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


def _collate_batch(batches: list[list[Item]]) -> dict[str, torch.Tensor]:
    """Of one batch."""
    return collate(batches[0])


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
    arguments = Seq2SeqTrainingArguments(
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
        torch_compile=compute.compile and compute.layout != "fused",  # which compiles its own part
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
    if device == "cuda":
        arguments._n_gpu = 1  # of a machine with several, one process takes one: else torch's DataParallel has them all
    return arguments
