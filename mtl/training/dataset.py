"""The tokenised examples of a split: lengths of all of them, and the token ids of those that are needed.

A split whose token ids fit into the room of its data set is in memory as a whole (`whole`). Of a larger one, `read`
brings chosen examples; `mtl.training.streaming` calls it for what a training needs next.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from mtl.data.dataset import Dataset
from mtl.data.manifest import FileEntry
from mtl.errors import TransientError
from mtl.mixture import order, rates
from mtl.model.padded import IGNORED

Item = tuple[np.ndarray, np.ndarray, int]
ID_BYTES = 4
"""Of a token id in memory: int32."""
_COLUMNS = ("input_ids", "labels")


class Examples(torch.utils.data.Dataset[Item]):
    """Token ids of some examples of a split: flat arrays and offsets, no Python object per example.

    indices: of the examples, rising. tasks: their task numbers. sources, targets: their lengths in tokens.
    """

    def __init__(self, indices: np.ndarray, tasks: np.ndarray, sources: np.ndarray, targets: np.ndarray) -> None:
        self._indices = indices
        self._tasks = tasks
        self._inputs_at, self._labels_at = (np.cumsum([0, *sides], dtype=np.int64) for sides in (sources, targets))
        self._inputs, self._labels = (np.empty(at[-1], np.int32) for at in (self._inputs_at, self._labels_at))

    def put(self, position: int, inputs: np.ndarray, labels: np.ndarray) -> None:
        """The ids of some examples end to end. position: of the first of them among `indices`."""
        for ids, at, given in ((self._inputs, self._inputs_at, inputs), (self._labels, self._labels_at, labels)):
            start = int(at[position])
            ids[start : start + len(given)] = given

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Item:
        """index: in the split."""
        row = int(np.searchsorted(self._indices, index))
        if row == len(self._indices) or self._indices[row] != index:
            raise KeyError(f"example {index} was not read")
        inputs = self._inputs[self._inputs_at[row] : self._inputs_at[row + 1]]
        labels = self._labels[self._labels_at[row] : self._labels_at[row + 1]]
        return inputs, labels, int(self._tasks[row])

    @property
    def nbytes(self) -> int:
        """Of the token ids."""
        return self._inputs.nbytes + self._labels.nbytes


class TokenisedSplit(torch.utils.data.Dataset[Item]):
    """Item i: (input ids, label ids, task number). Examples of task t come before those of task t + 1.

    sources, targets: lengths in tokens, by index. sizes: examples of each task, in `tasks` order. whole: the token ids
    of all examples; None if they take more than the room of the data set. room: those bytes.
    """

    def __init__(self, data: Dataset, split: str, tasks: Sequence[str]) -> None:
        self.tasks = tuple(tasks)
        self.room = data.room
        self._data = data
        by_task = [data.shards(task, split) for task in tasks]
        self._shards = [shard for shards in by_task for shard in shards]
        lengths, ids = self._scan()
        self._edges = np.cumsum([0, *(len(sources) for sources, _ in lengths)])
        self._starts = self._edges[np.cumsum([0, *map(len, by_task)])]
        self.sizes: list[int] = np.diff(self._starts).tolist()
        self.sources, self.targets = (np.concatenate(side) for side in zip(*lengths, strict=True))
        self.whole = self._joined(ids) if ids is not None else None

    def __len__(self) -> int:
        return int(self._edges[-1])

    def __getitem__(self, index: int) -> Item:
        """Of a split that is not in memory, this reads a shard for one example: `read` is for many."""
        return self.read([index])[index]

    def read(self, indices: Sequence[int] | np.ndarray, *, stop: threading.Event | None = None) -> Examples:
        """These examples in memory, from the shards that have them, one shard at a time.

        stop: is looked at before each shard. Errors: those of `Dataset.read`; TransientError if it was stopped.
        """
        if self.whole is not None:
            return self.whole
        wanted = np.unique(np.asarray(indices, dtype=np.int64))
        found = self._empty(wanted)
        cuts = np.searchsorted(wanted, self._edges)
        for shard, start, stop_at, edge in zip(self._shards, cuts, cuts[1:], self._edges, strict=False):
            if stop is not None and stop.is_set():
                raise TransientError("reading was stopped")
            if start < stop_at:
                rows = wanted[start:stop_at] - edge
                found.put(int(start), *(_of_rows(column, rows) for column in self._columns(shard)))
        return found

    def ordered(self, rule: Any, *, seed: int, epoch: int) -> array[int]:
        """Example indices of one epoch, as the mixture's rule draws the tasks."""
        sizes = dict(zip(self.tasks, self.sizes, strict=True))
        first = dict(zip(self.tasks, self._starts.tolist(), strict=False))
        drawn = order(sizes, rates(sizes, rule), seed=seed, epoch=epoch, length=len(self))
        return array("q", (first[task] + index for task, index in drawn))

    def _scan(self) -> tuple[list[tuple[np.ndarray, ...]], list[tuple[np.ndarray, ...]] | None]:
        """By shard, lengths of inputs and labels; and the ids, if there is room for those of all shards."""
        lengths: list[tuple[np.ndarray, ...]] = []
        ids: list[tuple[np.ndarray, ...]] | None = []
        size = 0
        for shard in self._shards:
            columns = self._columns(shard)
            lengths.append(tuple(map(_lengths, columns)))
            size += ID_BYTES * sum(int(side.sum()) for side in lengths[-1])
            if ids is not None and size <= self.room:
                ids.append(tuple(map(_ids, columns)))
            else:
                ids = None
        return lengths, ids

    def _joined(self, ids: list[tuple[np.ndarray, ...]]) -> Examples:
        found = self._empty(np.arange(len(self)))
        for position, part in zip(self._edges.tolist(), ids, strict=False):
            found.put(position, *part)
        return found

    def _columns(self, shard: FileEntry) -> list[pa.ListArray]:
        table = self._data.read(shard, _COLUMNS)
        return [table.column(name).combine_chunks() for name in _COLUMNS]

    def _empty(self, indices: np.ndarray) -> Examples:
        tasks = np.searchsorted(self._starts, indices, side="right") - 1
        return Examples(indices, tasks, self.sources[indices], self.targets[indices])


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


def _lengths(column: pa.ListArray) -> np.ndarray:
    found: np.ndarray = column.value_lengths().to_numpy(zero_copy_only=False)
    return found


def _ids(column: pa.ListArray) -> np.ndarray:
    found: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return found


def _of_rows(column: pa.ListArray, rows: np.ndarray) -> np.ndarray:
    """The ids of some rows, in rising order, end to end."""
    chosen = np.zeros(len(column), dtype=bool)
    chosen[rows] = True
    found: np.ndarray = _ids(column)[np.repeat(chosen, _lengths(column))]
    return found
