"""What was measured on held-out examples, and what follows from it.

It is part of every checkpoint, beside the best adapter so far, so that a resumed run judges as if it had never stopped
and any commit alone is enough to end the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mtl.document import Number, Size, check_record, parse_json
from mtl.model.adapter import ADAPTER_FILES

LOSS = "loss"
HISTORY_FILE = "validation.json"
BEST_FILE = "best_adapter.safetensors"
TRAINER_STATE = "trainer_state.json"


@dataclass(frozen=True, slots=True)
class Measurement:
    """Validation loss per target token of each task after `step` optimizer steps."""

    step: Size
    loss: Mapping[str, Number]

    def value(self, metric: str) -> float:
        """metric: `loss`, the mean over the tasks, or `loss/TASK`. Lower is better."""
        return fmean(self.loss.values()) if metric == LOSS else self.loss[metric.removeprefix(f"{LOSS}/")]


def best_of(history: Sequence[Measurement], metric: str) -> Measurement | None:
    """The measurement with the lowest value, of equals the earliest."""
    return min(history, key=lambda measured: measured.value(metric), default=None)


def is_over(history: Sequence[Measurement], metric: str, patience: int | None) -> bool:
    """Whether the last `patience` measurements brought nothing better than one before them."""
    best = best_of(history, metric)
    return patience is not None and best is not None and len(history) - 1 - history.index(best) >= patience


def read_history(folder: Path | None) -> list[Measurement]:
    """What a checkpoint says was measured; nothing for a start from scratch or a run that does not measure."""
    if folder is None or not (folder / HISTORY_FILE).is_file():
        return []
    path = folder / HISTORY_FILE
    return check_record(list[Measurement], parse_json(path.read_bytes(), str(path)), str(path))


def read_log(folder: Path | None) -> tuple[dict[str, float], list[float]]:
    """(newest loss of each task, tokens per second of each logged step), as a checkpoint has them."""
    path = folder / TRAINER_STATE if folder else None
    if path is None or not path.is_file():
        return {}, []
    entries = parse_json(path.read_bytes(), str(path))["log_history"]
    mark = f"{LOSS}/"
    loss = {name.removeprefix(mark): v for entry in entries for name, v in entry.items() if name.startswith(mark)}
    return loss, [entry["tokens_per_second"] for entry in entries if "tokens_per_second" in entry]


def result_adapter(folder: Path) -> Path:
    """The adapter file of a checkpoint that is the run's result: the best one where the run keeps it, else the last."""
    best = folder / BEST_FILE
    return best if best.is_file() else folder / ADAPTER_FILES[0]
