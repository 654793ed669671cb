"""Mixture: how often each task is drawn, and the order in which its examples come. Pure functions of their arguments.

The rules are those of Raffel et al. (2020), section 3.5.2: examples-proportional, with a limit, and with a temperature.

    list(order({"a": 3, "b": 1}, {"a": 0.5, "b": 0.5}, seed=1, epoch=0, length=4))
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterator, Mapping
from typing import Protocol

from mtl.errors import ConfigError, did_you_mean


class Rule(Protocol):
    """The `mixture` section of a configuration."""

    @property
    def kind(self) -> str: ...
    @property
    def cap(self) -> int | None: ...
    @property
    def temperature(self) -> float: ...
    @property
    def rates(self) -> Mapping[str, float]: ...


def rates(sizes: Mapping[str, int], rule: Rule) -> dict[str, float]:
    """Share of each task with examples, adding up to 1. ConfigError if explicit rates name other tasks than `sizes`."""
    present = {task: size for task, size in sizes.items() if size > 0}
    if rule.kind == "explicit":
        weights = _explicit(present, rule.rates)
    else:
        limit = math.inf if rule.cap is None or rule.kind == "proportional" else rule.cap
        power = 1 / rule.temperature if rule.kind == "temperature" else 1.0
        weights = {task: min(size, limit) ** power for task, size in present.items()}
    total = math.fsum(weights.values())
    return {task: weight / total for task, weight in weights.items()}


def _explicit(sizes: Mapping[str, int], given: Mapping[str, float]) -> dict[str, float]:
    faults = [
        (f"mixture.rates.{task}", f"no such task; {did_you_mean(task, sizes)}") for task in given if task not in sizes
    ]
    faults += [(f"mixture.rates.{task}", "has examples but no rate") for task in sizes if task not in given]
    faults += [(f"mixture.rates.{task}", f"must be over 0, got {rate}") for task, rate in given.items() if not rate > 0]
    if faults:
        raise ConfigError("data.mixture", faults)
    return dict(given)


def shares(rates: Mapping[str, float], length: int) -> dict[str, int]:
    """How many of `length` examples each task gets: its rate to within one, adding up exactly (largest remainders)."""
    exact = {task: rate * length for task, rate in rates.items()}
    counts = {task: math.floor(value) for task, value in exact.items()}
    by_remainder = sorted(exact, key=lambda task: (counts[task] - exact[task], task))
    for task in by_remainder[: length - sum(counts.values())]:
        counts[task] += 1
    return counts


def order(
    sizes: Mapping[str, int], rates: Mapping[str, float], *, seed: int, epoch: int, length: int
) -> Iterator[tuple[str, int]]:
    """(task, index) of the `length` examples of an epoch, one by one: in memory they are 8 bytes each.

    A task's examples come in a new order each time all of them have been seen, and none comes twice before that, also
    from one epoch to the next (epochs of equal length).
    """
    counts = shares(rates, length)
    drawn = {
        task: _draw(task, sizes[task], seed=seed, start=epoch * count, count=count) for task, count in counts.items()
    }
    tags = [task for task in sorted(counts) for _ in range(counts[task])]
    random.Random(f"order:{seed}:{epoch}").shuffle(tags)
    following = {task: iter(indices) for task, indices in drawn.items()}
    return ((task, next(following[task])) for task in tags)


def _draw(task: str, size: int, *, seed: int, start: int, count: int) -> array[int]:
    """Elements `start` to `start + count` of the endless sequence of a task's shuffled passes."""
    drawn = array("q")
    number, skip = divmod(start, size)
    while len(drawn) < count:
        indices = array("q", range(size))
        random.Random(f"pass:{seed}:{task}:{number}").shuffle(indices)
        drawn += indices[skip : skip + count - len(drawn)]
        number, skip = number + 1, 0
    return drawn
