"""The model of benchmarks/scale_model.py: its laws, and what it says of costs that are made for one limit each."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from scale_model import NETWORK, WORKERS, Pieces, Steps, limit, simulate, simulated, stops_at

PIECES = Pieces(work=1000.0, pieces=100_000, driver=1.0, moved=1e8, fixed=1.0, start=5.0)
STEPS = Steps(steps=100_000, step=1.0, gradients=1e6, saves=1, save=1.0, fixed=1.0)


@given(st.sampled_from(WORKERS))
def test_more_workers_never_make_pieces_slower_nor_faster_than_their_share(workers: int) -> None:
    assert PIECES.seconds(2 * workers) <= PIECES.seconds(workers)
    assert PIECES.seconds(workers) >= PIECES.work / workers


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        (PIECES.times(10), "work"),
        (replace(PIECES, driver=500.0), "driver"),
        (replace(PIECES, moved=1000 * NETWORK), "network of the driver"),
        (replace(PIECES, pieces=10), "too few pieces"),
        (replace(PIECES, start=100.0), "fixed"),
        (STEPS, "work"),
        (replace(STEPS, gradients=1e10), "all-reduce: bytes"),
        (replace(STEPS, step=0.001), "all-reduce: messages"),
        (replace(STEPS, saves=1000), "checkpoints"),
    ],
)
def test_the_part_that_limits_256_workers_is_named(costs: Pieces | Steps, said: str) -> None:
    assert limit(costs, 256) == said
    assert simulate(costs)["256"]["limit"] == said


def test_more_data_is_more_work_for_which_more_workers_are_used() -> None:
    one, many = stops_at(PIECES), stops_at(PIECES.times(1000))
    assert one is not None
    assert many is None or many > one
    assert PIECES.times(10).seconds(1) == pytest.approx(10 * PIECES.work + 6.0)


def test_what_does_not_become_less_with_the_data_is_fixed() -> None:
    """A preparation of 10 s and 1 ms a row on one core, whose driver takes 2 s and a tenth of a millisecond."""

    def run(kind: str, engine: str, rows: int) -> dict[str, Any]:
        steps = {"train": 10 + rows / 100, "evaluate": 5 + rows / 200}
        took = {"seconds": 10 + rows / 1000, "driver_cpu": 2 + rows / 10_000, "steps": steps}
        return {"kind": kind, "engine": engine, "bytes": 10**6, **took}

    found = {
        "cores": 1,
        "fixed": {"connect": 1.0, "first_piece": 1.0, "next_piece": 0.01},
        "size": {"rows": 40_000, "steps": 400, "judged": 100},
        "runs": [
            *(run("prepare", engine, 40_000) for engine in ("local", "ray")),
            *(run("prepare part", engine, 10_000) for engine in ("local", "ray")),
            run("retrain", "local", 40_000),
            run("retrain part", "local", 10_000),
        ],
    }
    thousand = simulated(found)["prepare"]["data x1000"]
    assert thousand["32"]["limit"] == thousand["256"]["limit"] == "driver"
    assert thousand["256"]["seconds"] == pytest.approx(1 + 2 + 10 + 4000)
    assert simulated(found)["train"]["data x1"]["32"]["seconds"] == pytest.approx(1 + 10 + 400 / 32, abs=0.5)
