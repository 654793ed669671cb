"""What happens beside the steps: progress, checkpoints, and a stop that was asked for."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from mtl.errors import PreemptedError
from mtl.training import ranks
from mtl.training.machine import Usage
from mtl.training.uploads import Uploads


class StopRequest:
    """Set by SIGTERM. The step in hand is finished and saved, then the process exits with 143.

    Not transformers' own handler: its checkpoint is not the state at the end of a step.
    """

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


class Checkpoints(TrainerCallback):  # type: ignore[misc]
    """Hands what the trainer saved to `uploads`, and has it save at the last step and when asked to stop.

    A commit that failed, or found that another one owns the run, stops the trainer at the end of the step in hand.
    Of several ranks only the leader has something to hand over; all of them save and stop at the same step.
    """

    def __init__(self, uploads: Uploads, stop: StopRequest, aside: Path) -> None:
        self._uploads = uploads
        self._stop = stop
        self._aside = aside
        self._stopping = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        self._uploads.check()
        self._stopping = ranks.any_of(self._stop.asked)
        if self._stopping or state.global_step >= state.max_steps:
            control.should_save = True
        return control

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if state.is_world_process_zero:
            aside = self._aside / f"checkpoint-{state.global_step}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            Path(args.output_dir, aside.name).rename(aside)
            self._uploads.submit(state.global_step, aside)
        if self._stopping and not control.should_training_stop:  # a run that is over ends in order
            self._uploads.wait()
            ranks.any_of(True)  # the others end after the leader's commit, not before it
            raise PreemptedError(f"stopped on request after step {state.global_step}, which is saved")
        return control


class Progress(TrainerCallback):  # type: ignore[misc]
    """Sends a `step` event for every logged step."""

    def __init__(self, emit: Callable[..., None]) -> None:
        self._emit = emit
        self._start = (time.monotonic(), 0)
        self._usage = Usage()
        self.loss: dict[str, float] = {}
        self.speeds: list[float] = []

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._start = (time.monotonic(), state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not logs or "tokens_per_second" not in logs:
            return
        self.loss |= {name.removeprefix("loss/"): value for name, value in logs.items() if name.startswith("loss/")}
        self.speeds.append(logs["tokens_per_second"])
        began, first = self._start
        per_step = (time.monotonic() - began) / max(1, state.global_step - first)
        self._emit(
            "step",
            step=state.global_step,
            max_steps=state.max_steps,
            loss=round(logs["loss"], 5),
            loss_by_task={name: round(value, 5) for name, value in self.loss.items()},
            learning_rate=logs["learning_rate"],
            grad_norm=round(float(logs.get("grad_norm", 0.0)), 5),
            tokens_per_second=round(logs["tokens_per_second"], 1),
            system=self._usage.now(),
            eta=round(per_step * (state.max_steps - state.global_step), 1),
        )
