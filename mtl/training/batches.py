"""Which examples go into which batch: a pure function of (seed, epoch, rank), so that a resume continues bit for bit.

Examples come in the mixture's order. Within a window of that order they are sorted by length and cut into batches by a
budget of padded tokens, and the batches of the window are shuffled: little padding, and the mixture's rates hold in
every window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

WINDOW = 1024  # examples; a multiple of any sensible batch, small enough that the rates hold within a few dozen steps

Order = Callable[[int], Sequence[int]]


def epoch_batches(
    order: Sequence[int], sources: np.ndarray, targets: np.ndarray, *, max_tokens: int, seed: int, epoch: int
) -> Iterator[list[int]]:
    """Batches of one epoch.

    order: example indices as the mixture gives them. sources, targets: lengths in tokens by example index.
    max_tokens: bound on rows x (longest source + longest target); an example that is longer alone is a batch alone.
    """
    for start in range(0, len(order), WINDOW):
        window = _by_length(order[start : start + WINDOW], sources, targets, max_tokens=max_tokens)
        batches = list(_cut(window, sources, targets, max_tokens))
        shuffle = np.random.default_rng([seed, epoch, start]).permutation(len(batches))
        yield from (batches[i] for i in shuffle)


def batch_stream(
    order: Order, sources: np.ndarray, targets: np.ndarray, *, max_tokens: int, seed: int
) -> Iterator[list[int]]:
    """Batches of all epochs, one after the other, without end. order: epoch -> example indices."""
    epoch = 0
    while True:
        yield from epoch_batches(order(epoch), sources, targets, max_tokens=max_tokens, seed=seed, epoch=epoch)
        epoch += 1


class RankBatches:
    """The `total` batches of one rank (a batch sampler): batch i of the stream goes to rank i mod world.

    Each iteration starts at the beginning; a resume skips what was done, which costs no reading of data.
    """

    def __init__(self, stream: Callable[[], Iterator[list[int]]], *, total: int, rank: int = 0, world: int = 1) -> None:
        self._stream = stream
        self._total = total
        self._rank = rank
        self._world = world

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[list[int]]:
        stream = self._stream()
        for _ in range(self._total):
            group = [next(stream) for _ in range(self._world)]
            yield group[self._rank]


def _by_length(window: Sequence[int], sources: np.ndarray, targets: np.ndarray, *, max_tokens: int) -> list[int]:
    """The window in strips of like source length, each sorted by target length.

    As many strips as there will be batches in one: source and target lengths vary independently, and this halves the
    padding that sorting by their sum leaves.
    """
    ordered = sorted(window, key=lambda i: (sources[i], targets[i], i))
    tokens = sum(int(sources[i] + targets[i]) for i in window)
    strips = max(1, round(math.sqrt(tokens / max_tokens)))
    size = math.ceil(len(ordered) / strips)
    cut = (ordered[start : start + size] for start in range(0, len(ordered), size))
    return [i for strip in cut for i in sorted(strip, key=lambda i: (targets[i], sources[i], i))]


def _cut(window: list[int], sources: np.ndarray, targets: np.ndarray, max_tokens: int) -> Iterator[list[int]]:
    batch: list[int] = []
    source = target = 0
    for index in window:
        wider = max(source, int(sources[index])), max(target, int(targets[index]))
        if batch and (len(batch) + 1) * sum(wider) > max_tokens:
            yield batch
            batch, wider = [], (int(sources[index]), int(targets[index]))
        batch.append(index)
        source, target = wider
    if batch:
        yield batch
