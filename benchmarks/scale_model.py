"""How long one piece of work takes on W workers, from the measured cost of its parts: a model, not a measurement.

Preparation, generation and evaluation are pieces that go through one driver:

    seconds(W) = fixed + start + max(work / W, work of one piece, driver's own time, bytes through the driver / network)

A training is steps of W ranks, each on a W-th of the batches, with a ring all-reduce of the gradients in each step:

    seconds(W) = fixed + steps / W * (step + 2 g (W - 1) / W / network + 2 (W - 1) latency) + saves * one save

The part that limits is the largest one. While that is the work itself, more workers help.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
NETWORK = 1.25e9
"""Bytes per second between two machines: 10 Gbit/s."""
LATENCY = 1e-4
"""Seconds for a message between two machines of one data centre."""
_HALF = 0.5
PART = 4
"""The model also needs each kind of work with 1/PART of the data: what does not become less is fixed."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pieces:
    """work: seconds of one core for all of it. pieces: parts that workers take. driver: its own seconds, serial.

    moved: bytes through the driver. fixed: seconds to connect and begin. start: seconds that each worker needs before
    its first piece (imports, a model), at the same time as the others.
    """

    work: float
    pieces: int
    driver: float
    moved: float
    fixed: float
    start: float

    def parts(self, workers: int) -> dict[str, float]:
        return {
            "work": self.work / workers,
            "too few pieces": self.work / self.pieces,
            "driver": self.driver,
            "network of the driver": self.moved / NETWORK,
            "fixed": self.fixed + self.start,
        }

    def seconds(self, workers: int) -> float:
        parts = self.parts(workers)
        return parts.pop("fixed") + max(parts.values())

    def times(self, factor: float) -> Pieces:
        """The same for `factor` times the data, in as many more pieces."""
        return Pieces(
            self.work * factor,
            math.ceil(self.pieces * factor),
            self.driver * factor,
            self.moved * factor,
            self.fixed,
            self.start,
        )


@dataclass(frozen=True, slots=True)
class Steps:
    """A training. steps: of one rank that takes every batch. step: seconds. gradients: bytes. save: seconds of one."""

    steps: int
    step: float
    gradients: float
    saves: int
    save: float
    fixed: float

    def parts(self, workers: int) -> dict[str, float]:
        each = self.steps / workers
        return {
            "work": each * self.step,
            "all-reduce: bytes": each * 2 * self.gradients * (workers - 1) / workers / NETWORK,
            "all-reduce: messages": each * 2 * (workers - 1) * LATENCY,
            "checkpoints": self.saves * self.save,
            "fixed": self.fixed,
        }

    def seconds(self, workers: int) -> float:
        return sum(self.parts(workers).values())

    def times(self, factor: float) -> Steps:
        """The same for `factor` times the data, with as many more steps and checkpoints."""
        return Steps(
            round(self.steps * factor), self.step, self.gradients, round(self.saves * factor), self.save, self.fixed
        )


def simulate(kind: Pieces | Steps) -> dict[str, Any]:
    """Seconds and what limits at 32 and 256 workers, and the size from which half of the workers' time is lost."""
    found: dict[str, Any] = {}
    for workers in (32, 256):
        found[str(workers)] = {
            "seconds": round(kind.seconds(workers), 1),
            "speedup": round(kind.seconds(1) / kind.seconds(workers), 1),
            "limit": limit(kind, workers),
        }
    stop = stops_at(kind)
    return found | {"stops_at": stop, "because_of": limit(kind, stop) if stop else None}


def limit(kind: Pieces | Steps, workers: int) -> str:
    """The largest part; `work` while more workers help."""
    parts = kind.parts(workers)
    return max(parts, key=lambda name: parts[name])


def stops_at(kind: Pieces | Steps) -> int | None:
    """The least number of workers (a power of two) that are used to less than a half; None if 1,024 still are."""
    one = kind.seconds(1)
    return next((workers for workers in WORKERS if one / kind.seconds(workers) / workers < _HALF), None)


def simulated(found: Row) -> Row:
    """What 32 and 256 workers would take for this work, and for 10 and 1,000 times as much data."""
    kinds = _costs(found)
    return {
        kind: {f"data x{factor}": simulate(costs.times(factor)) for factor in (1, 10, 1000)}
        for kind, costs in kinds.items()
    }


def _costs(found: Row) -> dict[str, Pieces | Steps]:
    """The costs of the parts, from the fastest local runs and the Ray runs with the least CPU time.

    What a quarter of the data takes tells what grows with the data from what does not.
    """
    cores, fixed = found["cores"], found["fixed"]
    begin, start = fixed["connect"], fixed["first_piece"]
    prepare, prepare_fixed = _growth(found, "prepare", "local", lambda run: run["seconds"])
    driver, driver_fixed = _growth(found, "prepare", "ray", lambda run: run["driver_cpu"])
    train, train_fixed = _growth(found, "retrain", "local", lambda run: run["steps"]["train"])
    evaluate, evaluate_fixed = _growth(found, "retrain", "local", lambda run: run["steps"]["evaluate"])
    examples = 2 * found["size"]["judged"]
    return {
        "prepare": Pieces(
            work=prepare * cores,
            pieces=max(WORKERS),  # each round has a share for each core, if the source has as many files or row groups
            driver=driver,
            # rows in, buckets out and in, shards out: about the same size each time
            moved=3 * _of(found, "prepare", "ray")[0]["bytes"],
            fixed=begin + driver_fixed,
            start=max(start, prepare_fixed),
        ),
        "evaluate": Pieces(
            work=evaluate * cores,
            pieces=max(1, examples // 8),
            driver=examples * fixed["next_piece"] / 8,
            moved=0.0,
            fixed=begin,
            start=max(start, evaluate_fixed),
        ),
        "train": Steps(
            steps=found["size"]["steps"] * cores,
            step=train / found["size"]["steps"],
            gradients=_of(found, "retrain", "local")[0]["bytes"],
            saves=1,
            save=0.0,
            fixed=begin + max(start, train_fixed),
        ),
    }


def _growth(found: Row, kind: str, engine: str, measured: Callable[[Row], float]) -> tuple[float, float]:
    """(what grows with the data, at the whole size; what does not), of a line through both sizes; at least 0."""
    whole, part = (min(map(measured, _of(found, name, engine))) for name in (kind, f"{kind} part"))
    growing = min(max((whole - part) * PART / (PART - 1), 0.0), whole)
    return growing, whole - growing


def _of(found: Row, kind: str, engine: str) -> list[Row]:
    return [run for run in found["runs"] if (run["kind"], run["engine"]) == (kind, engine)]
