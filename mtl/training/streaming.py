"""The batches of a training whose token ids do not fit into memory: read from the object store as they are needed.

The order of the batches is what it is in memory. They are taken in windows of as many batches as there is room for. A
window is read in one pass over the shards that have an example of it, and only its examples are kept. While a window
is trained on, a thread reads the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from mtl.training.batches import RankBatches
from mtl.training.dataset import ID_BYTES, Examples, Item, TokenisedSplit


@dataclass(frozen=True)
class Window:
    """Batches `first` and on of a rank, and all examples of them."""

    first: int
    batches: list[list[int]]
    examples: Examples


class StreamedBatches(torch.utils.data.Dataset[list[Item]]):
    """Item k: the examples of batch k of a rank. They are cheap to take one after the other.

    At most two windows are in memory, together the room of the split at most, unless one batch alone takes more.
    Errors on taking an item: those of `TokenisedSplit.read`.
    """

    def __init__(self, split: TokenisedSplit, batches: RankBatches) -> None:
        self._split = split
        self._batches = batches
        self._stop = threading.Event()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="next-window")
        self._window = Window(0, [], split.read([]))
        self._windows: Iterator[Window] | None = None
        self._coming: Future[Window | None] = Future()

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> list[Item]:
        if self._windows is None or number < self._window.first:
            self._window = Window(number, [], self._split.read([]))
            self._windows = self._from(number)
            self._coming = self._reader.submit(next, self._windows, None)
        while number >= self._window.first + len(self._window.batches):
            window = self._coming.result()
            if window is None:
                raise IndexError(f"batch {number} of {len(self)}")
            self._window = window
            self._coming = self._reader.submit(next, self._windows, None)
        return [self._window.examples[index] for index in self._window.batches[number - self._window.first]]

    @property
    def window(self) -> Window:
        """The one that is in use."""
        return self._window

    def close(self) -> None:
        """Have the thread end after the shard that it reads."""
        self._stop.set()
        self._reader.shutdown(wait=False, cancel_futures=True)

    def _from(self, first: int) -> Iterator[Window]:
        lengths = self._split.sources + self._split.targets
        for batches in cut(islice(self._batches, first, None), lengths, most=self._split.room // 2):
            indices = np.concatenate([np.asarray(batch) for batch in batches])
            yield Window(first, batches, self._split.read(indices, stop=self._stop))
            first += len(batches)


def cut(batches: Iterable[list[int]], lengths: np.ndarray, *, most: int) -> Iterator[list[list[int]]]:
    """Windows of consecutive batches whose token ids take at most `most` bytes, at least one batch each."""
    window: list[list[int]] = []
    size = 0
    for batch in batches:
        more = ID_BYTES * int(lengths[batch].sum())
        if window and size + more > most:
            yield window
            window, size = [], 0
        window.append(batch)
        size += more
    if window:
        yield window
