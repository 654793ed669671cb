"""Killed or asked to stop anywhere: the run ends with the adapter of the uninterrupted run."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path

import pytest

from mtl.checkpoints.state import read_state
from mtl.checkpoints.verify import verify_run
from mtl.config.retrain import RetrainConfig
from mtl.store.folder import FolderStore
from tests.faults.conftest import NewMachine, only_run
from tests.support.preludes import COMMIT, FINISH, READ, STEP, WRITE, Slow, Strike
from tests.support.trainers import Machine


def test_row_02_killed_before_the_first_checkpoint(machine: Machine, plain: str) -> None:
    assert machine.train(Strike(STEP, 2)).code == -signal.SIGKILL
    again = machine.train()
    assert again.result["resumed_from"] is None
    assert again.adapter == plain


def test_row_03_killed_in_a_step(machine: Machine, plain: str) -> None:
    assert machine.train(Strike(STEP, 6)).code == -signal.SIGKILL
    again = machine.train()
    assert again.result["resumed_from"] in (2, 4)  # the commit at 4 runs beside step 5
    assert again.adapter == plain


@pytest.mark.slow
def test_row_03_killed_again_and_again_over_several_epochs(new_machine: NewMachine, config: RetrainConfig) -> None:
    """In the middle of an epoch, at its end and after it: the data are passed over more than once in 20 steps."""
    longer = config.model_copy(update={"train": config.train.model_copy(update={"max_steps": 20})})
    whole = new_machine("whole").train(config=longer).adapter
    machine, resumed = new_machine("killed"), []
    for _ in range(20):
        end = machine.train(Strike(STEP, 5), config=longer)
        if end.code == 0:
            break
        resumed.append(end.of("start")[0]["step"])
    assert len(resumed) >= 4
    assert resumed == sorted(resumed)
    assert end.adapter == whole


@pytest.mark.slow
@pytest.mark.parametrize("batch", [5, 6])
def test_row_04_killed_in_an_accumulated_step(new_machine: NewMachine, config: RetrainConfig, batch: int) -> None:
    """Before the first and the second batch of step 3; the uninterrupted run accumulates as well."""
    accumulated = config.model_copy(
        update={"train": config.train.model_copy(update={"gradient_accumulation_steps": 2})}
    )
    whole = new_machine("whole").train(config=accumulated).adapter
    machine = new_machine("killed")
    assert machine.train(Strike(STEP, batch), config=accumulated).code == -signal.SIGKILL
    assert machine.train(config=accumulated).adapter == whole


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
def test_row_05_killed_at_each_single_write(machine: Machine, plain: str, late: bool) -> None:
    """Each life gets one write further than the last: acquire, blobs, manifest, log entry, finish, result."""
    store = FolderStore(machine.store)
    seen = []
    for nth in itertools.count(1):
        end = machine.train(Strike(WRITE, nth, late=late))
        if list(store.list("runs/")):
            assert verify_run(store, only_run(store)).intact or nth < 3  # the fields of the run are its first write
            newest = read_state(store, only_run(store)).newest
            seen.append(newest.step if newest else 0)
        if end.code == 0:
            break
        assert end.code == -signal.SIGKILL
        assert nth < 40
    assert seen == sorted(seen)
    assert end.adapter == plain


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
def test_row_06_killed_after_the_final_save(machine: Machine, plain: str, late: bool) -> None:
    assert machine.train(Strike(FINISH, late=late)).code == -signal.SIGKILL
    again = machine.train()
    assert again.of("step") == []
    assert again.result["resumed_from"] == again.result["steps"] == 6
    assert again.adapter == plain


@pytest.mark.slow
@pytest.mark.parametrize("nth", [1, 6])
def test_row_10_killed_in_restore(machine: Machine, plain: str, nth: int) -> None:
    assert machine.train(Strike(COMMIT, 3)).code == -signal.SIGKILL
    assert machine.train(Strike(READ, nth)).code == -signal.SIGKILL
    again = machine.train()
    assert again.result["resumed_from"] == 4
    assert again.adapter == plain


def test_row_11_asked_to_stop_in_a_step(machine: Machine, plain: str) -> None:
    stopped = machine.train(Strike(STEP, 3, signal.SIGTERM))
    assert stopped.code == 143
    assert "stopped on request after step 3, which is saved" in stopped.error["message"]
    again = machine.train()
    assert again.result["resumed_from"] == 3
    assert again.adapter == plain


@pytest.mark.slow
@pytest.mark.parametrize("where", [COMMIT, WRITE, STEP])
def test_row_11_asked_to_stop_in_a_save_and_at_the_start(machine: Machine, plain: str, where: str) -> None:
    stopped = machine.train(Strike(where, 1, signal.SIGTERM))
    assert stopped.code == 143
    again = machine.train()
    assert again.result["resumed_from"] == read_step(stopped.error["message"])
    assert again.adapter == plain


def read_step(message: str) -> int:
    return int(message.split("after step ")[1].split(",")[0])


@pytest.mark.slow
def test_row_12_asked_to_stop_then_killed_before_the_save_is_done(machine: Machine, plain: str) -> None:
    trainer = machine.start(Strike(COMMIT, 2, signal.SIGTERM), Slow(WRITE, 0.05))
    trainer.until("step", 4)
    while not list(Path(machine.store).glob("runs/*/manifests/4-*")):
        assert trainer.process.is_alive()
    trainer.send(signal.SIGKILL)
    assert trainer.end() == -signal.SIGKILL
    again = machine.train()
    assert again.result["resumed_from"] in (2, 4)
    assert again.adapter == plain
