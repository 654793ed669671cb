"""Best-model keeping and early stopping after a kill: stopped at the same step, with the same best adapter, kept."""

from __future__ import annotations

import signal

import pytest

from mtl.checkpoints.state import read_state
from mtl.checkpoints.verify import verify_run
from mtl.config.retrain import RetrainConfig
from mtl.store.folder import FolderStore
from tests.faults.conftest import NewMachine, only_run
from tests.support.preludes import COMMIT, Strike
from tests.support.trainers import End, Machine

PATIENCE = 5  # more than the number of last commits that are kept, so that the best one is kept for being best
JUDGED = ("steps", "best", "validation", "stopped_early", "adapter_sha256")


@pytest.fixture(scope="module")
def worse(config: RetrainConfig) -> RetrainConfig:
    """A rate so much too high that the loss soon rises; measured and committed after each step."""
    train = {"learning_rate": 0.9, "warmup_steps": 0, "max_steps": 24, "save_steps": 24, "eval_steps": 1}
    return config.model_copy(
        update={"train": config.train.model_copy(update=train | {"early_stopping_patience": PATIENCE})}
    )


def judged(end: End) -> dict[str, object]:
    return {name: end.result[name] for name in JUDGED}


def kept(machine: Machine) -> list[int]:
    """Steps of the commits that are there, every byte of them right."""
    store = FolderStore(machine.store)
    assert verify_run(store, only_run(store)).intact
    return [commit.step for commit in read_state(store, only_run(store)).commits]


@pytest.mark.slow
@pytest.mark.parametrize("before_the_end", [PATIENCE + 1, PATIENCE, 2, 0])
def test_killed_while_it_gets_worse(new_machine: NewMachine, worse: RetrainConfig, before_the_end: int) -> None:
    """Before the best step, at it, among the worse ones, and after the one that ends the run."""
    plain = new_machine("plain")
    whole = plain.train(config=worse)
    best, steps = whole.result["best"]["step"], whole.result["steps"]
    assert steps == best + PATIENCE < worse.train.max_steps
    assert kept(plain) == [best, steps - 2, steps - 1, steps]

    at = max(1, steps - before_the_end)
    machine = new_machine("killed")
    assert machine.train(Strike(COMMIT, at, late=True), config=worse).code == -signal.SIGKILL
    again = machine.train(config=worse)
    assert again.result["resumed_from"] == at
    assert judged(again) == judged(whole)
    assert kept(machine) == kept(plain)
