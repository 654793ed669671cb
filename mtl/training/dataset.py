"""The tokenised training split in memory: flat id arrays and offsets, no Python object per example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mtl.data.dataset import Dataset
from mtl.mixture import order, rates
from mtl.model.padded import IGNORED

Item = tuple[np.ndarray, np.ndarray, int]


class TokenisedSplit(torch.utils.data.Dataset[Item]):
    """Item i: (input ids, label ids, task number). Examples of task t come before those of task t + 1.

    sources, targets: lengths in tokens, by index. sizes: examples of each task, in `tasks` order.
    """

    def __init__(self, data: Dataset, split: str, tasks: Sequence[str]) -> None:
        columns = [_flat(data.table(task, split)) for task in tasks]
        self.tasks = tuple(tasks)
        self.sizes = [len(inputs_at) - 1 for _, inputs_at, _, _ in columns]
        self._inputs, self._inputs_at = _join([(c[0], c[1]) for c in columns])
        self._labels, self._labels_at = _join([(c[2], c[3]) for c in columns])
        self._task_of = np.repeat(np.arange(len(tasks)), self.sizes)
        self.sources = np.diff(self._inputs_at)
        self.targets = np.diff(self._labels_at)

    def __len__(self) -> int:
        return len(self._task_of)

    def __getitem__(self, index: int) -> Item:
        inputs = self._inputs[self._inputs_at[index] : self._inputs_at[index + 1]]
        labels = self._labels[self._labels_at[index] : self._labels_at[index + 1]]
        return inputs, labels, int(self._task_of[index])

    def ordered(self, rule: Any, *, seed: int, epoch: int) -> list[int]:
        """Example indices of one epoch, as the mixture's rule draws the tasks."""
        sizes = dict(zip(self.tasks, self.sizes, strict=True))
        first = dict(zip(self.tasks, np.cumsum([0, *self.sizes[:-1]]), strict=True))
        drawn = order(sizes, rates(sizes, rule), seed=seed, epoch=epoch, length=len(self))
        return [int(first[task]) + index for task, index in drawn]


def collate(items: list[Item], *, pad_id: int = 0) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask [rows, longest source]; labels [rows, longest target] or IGNORED; task_ids [rows]."""
    sources = max(len(item[0]) for item in items)
    targets = max(len(item[1]) for item in items)
    input_ids = torch.full((len(items), sources), pad_id, dtype=torch.long)
    mask = torch.zeros((len(items), sources), dtype=torch.long)
    labels = torch.full((len(items), targets), IGNORED, dtype=torch.long)
    for row, (inputs, target, _) in enumerate(items):
        input_ids[row, : len(inputs)] = torch.from_numpy(inputs.astype(np.int64))
        mask[row, : len(inputs)] = 1
        labels[row, : len(target)] = torch.from_numpy(target.astype(np.int64))
    task_ids = torch.tensor([item[2] for item in items])
    return {"input_ids": input_ids, "attention_mask": mask, "labels": labels, "task_ids": task_ids}


def _flat(table: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(input ids, offsets, label ids, offsets) of a table with list columns."""
    parts: list[np.ndarray] = []
    for name in ("input_ids", "labels"):
        column = table.column(name).combine_chunks()
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
        parts += [column.flatten().to_numpy(zero_copy_only=False), np.concatenate([[0], np.cumsum(lengths)])]
    return parts[0], parts[1], parts[2], parts[3]


def _join(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    values = np.concatenate([ids for ids, _ in parts])
    shift, offsets = 0, [np.zeros(1, dtype=np.int64)]
    for _, at in parts:
        offsets.append(at[1:] + shift)
        shift += int(at[-1])
    return values, np.concatenate(offsets)
