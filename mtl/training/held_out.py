"""The held-out examples that are measured while training: a bounded, seeded sample, batched once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mtl.data.dataset import Dataset
from mtl.training.batches import epoch_batches
from mtl.training.dataset import TokenisedSplit, collate

Batch = dict[str, torch.Tensor]


def held_out_batches(
    data: Dataset, tasks: Sequence[str], *, per_task: int, seed: int, max_tokens: int, rank: int = 0, world: int = 1
) -> list[Batch]:
    """This rank's share of at most `per_task` validation examples of each task, as collated batches.

    Errors: NotFoundError, saying what to do, for a task without a validation split.
    """
    split = TokenisedSplit(data, "validation", tasks)
    chosen: list[int] = []
    for first, size in zip(np.cumsum([0, *split.sizes[:-1]]), split.sizes, strict=True):
        chosen += sorted(int(first) + index for index in np.random.default_rng(seed).permutation(size)[:per_task])
    batches = epoch_batches(chosen, split.sources, split.targets, max_tokens=max_tokens, seed=seed, epoch=0)
    return [collate([split[i] for i in batch]) for number, batch in enumerate(batches) if number % world == rank]
