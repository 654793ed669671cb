"""What a training measures of itself, without making a GPU wait in each step.

A step only puts its tensors aside, on the device. They are moved to the host once, when somebody asks: for the log, for
a checkpoint, at the end. The sums are then made in fp64, batch by batch in their order, so they do not depend on when
that was.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mtl.errors import PermanentError
from mtl.model.padded import IGNORED

Sums = tuple[float, float]
"""Summed loss of a step, and its target tokens."""


@dataclass
class Window:
    """Sums since the last log. loss, tokens [tasks]: fp64, of the targets; real_tokens: of the sources as well."""

    loss: Tensor
    tokens: Tensor
    real_tokens: int = 0
    since: float = field(default_factory=time.monotonic)


class LossMeter:
    """Sums of loss and tokens by task since the last log, and by step since they were last taken."""

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks
        self._waiting: list[tuple[int, Tensor]] = []
        self._steps: dict[int, Sums] = {}
        self._window = self._new_window()

    def add(self, step: int, by_row: Tensor, batch: dict[str, Tensor]) -> None:
        """A batch of `step`: by_row [rows] is its summed loss. Nothing is moved.

        Errors: PermanentError for a loss that is not finite, on a CPU at once, on a GPU when it is moved.
        """
        numbers = ((batch["labels"] != IGNORED).sum(1), batch["attention_mask"].sum(1), batch["task_ids"])
        self._waiting.append((step, torch.stack([by_row.detach().double(), *(n.double() for n in numbers)])))
        if by_row.device.type == "cpu":
            self._move()

    def window(self) -> Window:
        """The sums since this was last called, on the host. Errors: as of `add`."""
        self._move()
        full, self._window = self._window, self._new_window()
        return full

    def take_steps(self) -> list[Sums]:
        """The sums of each step since this was last called, in order. Errors: as of `add`."""
        self._move()
        taken, self._steps = list(self._steps.values()), {}
        return taken

    def pause(self, seconds: float) -> None:
        """Seconds that are no part of the speed of training."""
        self._window.since += seconds

    def _move(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        whole = torch.cat([numbers for _, numbers in waiting], 1).cpu()
        for (step, _), numbers in zip(waiting, torch.split(whole, [n.shape[1] for _, n in waiting], 1), strict=True):
            self._sum_up(step, *numbers.unbind(0))

    def _sum_up(self, step: int, losses: Tensor, targets: Tensor, sources: Tensor, task_ids: Tensor) -> None:
        check_finite(losses, step)
        window = self._window
        window.loss.index_add_(0, task_ids.long(), losses)
        window.tokens.index_add_(0, task_ids.long(), targets)
        window.real_tokens += int(targets.sum() + sources.sum())
        loss, tokens = self._steps.get(step, (0.0, 0.0))
        self._steps[step] = (loss + float(losses.sum()), tokens + float(targets.sum()))

    def _new_window(self) -> Window:
        zeros = torch.zeros(self._tasks, dtype=torch.double)
        return Window(zeros, zeros.clone())


def check_finite(losses: Tensor, step: int) -> None:
    """Errors: PermanentError, naming the step, if the sum of `losses`, which are on the host, is not finite."""
    total = float(losses.sum())
    if not math.isfinite(total):
        raise PermanentError(
            f"the loss became {total} at step {step}",
            field="train.learning_rate",
            hint="lower train.learning_rate or raise train.warmup_steps; the last checkpoint is kept",
        )
