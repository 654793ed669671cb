"""The order of an epoch in which parts of each task have rates of their own. A pure function of (seed, epoch).

There are two such parts: examples of people (`data.mixture.feedback`), and what a warm start replays.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtl.data.dataset import Dataset
from mtl.mixture import order, rates
from mtl.training.dataset import TokenisedSplit

_Part = tuple[str, np.ndarray, float]
"""(name, example indices, rate)"""


@dataclass(frozen=True)
class Division:
    """Of each task, `share` of what is drawn comes from the examples of `mask`, and the rest from the others.

    names: of both parts, which decide how each is shuffled. Where a task has only one of them, all comes from that.
    others_at_most: how many times as often as without the division one of the others may be drawn; where they are so
    few that it would be more, the share of `mask` grows.
    """

    mask: np.ndarray
    share: float
    names: tuple[str, str]
    others_at_most: float = math.inf

    def of(self, part: _Part) -> Iterator[_Part]:
        name, indices, rate = part
        inside = self.mask[indices]
        if inside.all() or not inside.any():
            yield f"{name} {self.names[0 if inside.all() else 1]}", indices, rate
            return
        share = max(self.share, 1 - self.others_at_most * float(np.mean(~inside)))
        for its, mask, share_of_it in ((self.names[0], inside, share), (self.names[1], ~inside, 1 - share)):
            if share_of_it > 0:
                yield f"{name} {its}", indices[mask], rate * share_of_it


def of_people(mask: np.ndarray, share: float) -> Division:
    """mask: as `people_examples` gives it."""
    return Division(mask, share, ("people", "others"))


def people_examples(data: Dataset, tasks: Sequence[str]) -> np.ndarray:
    """Of each training example, in the order of TokenisedSplit, whether people gave rows to its passage."""
    return np.concatenate([np.array(data.taught(task, "train"), dtype=bool) for task in tasks])


def ordered_in_parts(
    split: TokenisedSplit, rule: Any, divisions: Sequence[Division], *, seed: int, epoch: int
) -> array[int]:
    """Example indices of one epoch. Each division cuts the parts that the ones before it made.

    The rates of the tasks stay those of the mixture's rule. Each part is passed through before any of its examples
    comes twice.
    """
    sizes = dict(zip(split.tasks, split.sizes, strict=True))
    edges = np.cumsum([0, *split.sizes])
    of_tasks = rates(sizes, rule)
    parts: list[_Part] = [
        (task, np.arange(edges[number], edges[number + 1]), of_tasks[task])
        for number, task in enumerate(split.tasks)
        if sizes[task]
    ]
    for division in divisions:
        parts = [its for part in parts for its in division.of(part)]
    indices = {name: its for name, its, _ in parts}
    shares = {name: share for name, _, share in parts}
    drawn = order({name: len(its) for name, its in indices.items()}, shares, seed=seed, epoch=epoch, length=len(split))
    return array("q", (int(indices[name][index]) for name, index in drawn))
