"""The examples of a warm start: old rows are replayed beside the new ones. A pure function of (seed, epoch)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtl.data.dataset import Dataset
from mtl.mixture import order, rates
from mtl.training.dataset import TokenisedSplit

OLD, NEW = "old", "new"


def known_examples(now: Dataset, before: Dataset, tasks: Sequence[str]) -> np.ndarray:
    """Of each training example of `now`, in the order of TokenisedSplit, whether `before` had it."""
    found: list[bool] = []
    for task in tasks:
        known = set(before.uids(task, "train"))
        found += [uid in known for uid in now.uids(task, "train")]
    return np.array(found, dtype=bool)


def replayed_order(
    split: TokenisedSplit, rule: Any, *, known: np.ndarray, replay_share: float, seed: int, epoch: int
) -> array[int]:
    """Example indices of one epoch. Within each task, `replay_share` of them are drawn from the known examples.

    The rates of the tasks are those of a full run, whatever is new in which of them. A task without new examples
    replays only, and one without known examples has new ones only. Each part is passed through before any of its
    examples comes twice.
    """
    sizes = dict(zip(split.tasks, split.sizes, strict=True))
    first = np.cumsum([0, *split.sizes])
    parts: dict[str, np.ndarray] = {}
    shares: dict[str, float] = {}
    of_tasks = rates(sizes, rule)
    for number, task in enumerate(split.tasks):
        mask = known[first[number] : first[number + 1]]
        found = {OLD: np.flatnonzero(mask) + first[number], NEW: np.flatnonzero(~mask) + first[number]}
        present = {part: indices for part, indices in found.items() if len(indices)}
        for part, indices in present.items():
            share = 1.0 if len(present) == 1 else replay_share if part == OLD else 1 - replay_share
            if share > 0:
                parts[f"{task} {part}"], shares[f"{task} {part}"] = indices, of_tasks[task] * share
    drawn = order({name: len(its) for name, its in parts.items()}, shares, seed=seed, epoch=epoch, length=len(split))
    return array("q", (int(parts[name][index]) for name, index in drawn))
