"""Measuring on held-out examples while training: when, what is kept of it, and when to stop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mtl.data.dataset import Dataset
from mtl.data.selection import chooses
from mtl.errors import NotFoundError
from mtl.model.adapter import ADAPTER_FILES
from mtl.training.batches import epoch_batches
from mtl.training.dataset import TokenisedSplit, collate
from mtl.training.history import BEST_FILE, HISTORY_FILE, Measurement, best_of, is_over, read_history
from mtl.training.result import BestStep

Batch = dict[str, torch.Tensor]


class Validation(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """Measures every `every` steps and at the last one, has each measured step saved, and ends a run that got worse.

    measure: validation loss by task, the same on every rank. keep_best: put the best adapter into each checkpoint.
    resumed: folder of the checkpoint that the run goes on from. work: folder for the best adapter.
    Must be called before the callback that hands the checkpoint over.
    """

    def __init__(
        self,
        measure: Callable[[], dict[str, float]],
        emit: Callable[..., None],
        *,
        every: int,
        metric: str,
        patience: int | None,
        keep_best: bool,
        resumed: Path | None,
        work: Path,
    ) -> None:
        self._measure = measure
        self._emit = emit
        self._every = every
        self._metric = metric
        self._patience = patience
        self._keep_best = keep_best
        self._best_file = work / BEST_FILE
        self.history = read_history(resumed)
        if resumed is not None and (resumed / BEST_FILE).is_file():
            shutil.copyfile(resumed / BEST_FILE, self._best_file)

    @property
    def over(self) -> bool:
        """Whether the run has ended early, also when it was killed before it could say so."""
        return is_over(self.history, self._metric, self._patience)

    @property
    def best(self) -> Measurement | None:
        return best_of(self.history, self._metric)

    def metric_at(self, step: int) -> float | None:
        """How good the checkpoint at `step` is, higher is better; None if it was not measured."""
        return next((-measured.value(self._metric) for measured in self.history if measured.step == step), None)

    def summary(self) -> dict[str, Any]:
        """What the result of the run says: fields of TrainedModel."""
        best = self.best
        if best is None:
            return {}
        return {
            "validation": dict(self.history[-1].loss),
            "best": BestStep(best.step, self._metric, best.value(self._metric)),
            "stopped_early": self.over,
        }

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        step = state.global_step
        if step % self._every and step < state.max_steps:
            return control
        self.history.append(Measurement(step, self._measure()))
        best = self.best
        assert best is not None
        self._emit(
            "validation", step=step, max_steps=state.max_steps, loss_by_task=self.history[-1].loss, best=best.step
        )
        control.should_save = True
        control.should_training_stop = control.should_training_stop or self.over
        return control

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if state.is_world_process_zero:
            folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
            lines = json.dumps([asdict(measured) for measured in self.history])
            (folder / HISTORY_FILE).write_text(lines, encoding="utf-8")
            best = self.best
            if self._keep_best and best is not None:
                if best.step == state.global_step:
                    shutil.copyfile(folder / ADAPTER_FILES[0], self._best_file)
                shutil.copyfile(self._best_file, folder / BEST_FILE)
        return control


def held_out_batches(
    data: Dataset,
    tasks: Sequence[str],
    *,
    per_task: int,
    seed: int,
    max_tokens: int,
    share: float = 1.0,
    rank: int = 0,
    world: int = 1,
) -> list[Batch]:
    """This rank's part of at most `per_task` validation examples of each task, as collated batches.

    share: of the validation passages, those that choose a checkpoint (`mtl.data.selection`).
    Errors: NotFoundError, saying what to do, for a task that has none of them.
    """
    split = TokenisedSplit(data, "validation", tasks)
    chosen: list[int] = []
    for task, first in zip(tasks, np.cumsum([0, *split.sizes[:-1]]), strict=True):
        own = [index for index, key in enumerate(data.passages(task, "validation")) if chooses(key, share)]
        if not own:
            raise NotFoundError(
                f"no validation passage of {task} is among the {share:.0%} that choose the checkpoint",
                field="train.eval_share",
                hint="more validation rows, a larger train.eval_share, or no train.eval_steps: then nothing is chosen",
            )
        drawn = np.random.default_rng(seed).permutation(len(own))[:per_task]
        chosen += sorted(int(first) + own[index] for index in drawn)
    batches = epoch_batches(chosen, split.sources, split.targets, max_tokens=max_tokens, seed=seed, epoch=0)
    own_batches = [batch for number, batch in enumerate(batches) if number % world == rank]
    examples = split.read([index for batch in own_batches for index in batch])
    return [collate([examples[index] for index in batch]) for batch in own_batches]
