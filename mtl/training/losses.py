"""The loss of every optimizer step, whatever train.logging_steps says: by it two trainings are told apart.

It is part of every checkpoint, so that a resumed run has the losses of all its steps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mtl.document import Number, check_record, parse_json
from mtl.fingerprint import canonical_json
from mtl.training import ranks
from mtl.training.loss_meter import Sums

LOSSES_FILE = "losses.json"


class StepLosses(TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
    """Keeps the loss per target token of each step, and puts it into each checkpoint.

    take: this rank's sums of each step since it was last called. resumed: folder of the checkpoint that the run goes
    on from, if any; step: its step. Must be called before the callback that hands the checkpoint over.
    """

    def __init__(self, take: Callable[[], list[Sums]], *, resumed: Path | None, step: int) -> None:
        self._take = take
        self.values: list[float | None] = read_losses(resumed, step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        for sums in zip(*ranks.gather(self._take()), strict=True):  # the ranks save at the same step
            self.values.append(sum(loss for loss, _ in sums) / sum(tokens for _, tokens in sums))
        if state.is_world_process_zero:
            path = Path(args.output_dir, f"checkpoint-{state.global_step}", LOSSES_FILE)
            path.write_bytes(canonical_json(self.values))


def read_losses(folder: Path | None, step: int) -> list[float | None]:
    """The losses that a checkpoint at `step` has; None for each step of one that has none."""
    path = folder / LOSSES_FILE if folder else None
    if path is None or not path.is_file():
        return [None] * step
    return check_record(list[Number | None], parse_json(path.read_bytes(), str(path)), str(path))
