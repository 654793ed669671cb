"""Several owners, clocks that jump: one run, one owner at a time, nothing changed by the others."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from mtl.checkpoints.verify import verify_run
from mtl.pipeline.prune import prune_checkpoints
from mtl.store.folder import FolderStore
from mtl.workspace import open_workspace
from tests.faults.conftest import only_run
from tests.support.preludes import STEP, ClockJump, Slow
from tests.support.trainers import Machine


def log_of(machine: Machine) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(machine.store).glob("runs/*/log/*.json")}


def test_row_13_stopped_taken_over_and_continued(machine: Machine, plain: str) -> None:
    """The one that slept is fenced off, and what the other one wrote stands as it was."""
    sleeper = machine.start(Slow(STEP, 0.2))
    sleeper.until("commit", 2)
    sleeper.send(signal.SIGSTOP)
    assert machine.train().adapter == plain
    before = log_of(machine)
    result = next(Path(machine.store).glob("runs/*/result.json")).read_bytes()
    sleeper.send(signal.SIGCONT)
    assert sleeper.end() == 75
    assert sleeper.of("error")[0]["kind"] == "fenced"
    assert log_of(machine) == before
    assert next(Path(machine.store).glob("runs/*/result.json")).read_bytes() == result


@pytest.mark.slow
def test_row_32_the_worker_is_killed_and_its_orphan_trains_on(machine: Machine, plain: str) -> None:
    """The trainer outlives who started it; the run's next start takes over, and the orphan ends by itself."""
    orphan = machine.start(Slow(STEP, 0.5))
    orphan.until("commit", 2)
    again = machine.train()
    assert again.result["resumed_from"] >= 2
    assert orphan.end() == 75
    assert again.adapter == plain


@pytest.mark.slow
@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_row_35_the_clock_jumps_a_day(machine: Machine, plain: str, jump: float) -> None:
    end = machine.train(ClockJump(3, jump))
    assert end.adapter == plain
    store = FolderStore(machine.store)
    report = verify_run(store, only_run(store))
    assert [commit.step for commit in report.commits] == [2, 4, 6]
    assert report.intact
    epochs = [json.loads(data)["epoch"] for data in log_of(machine).values()]
    assert set(epochs) == {1}


def test_row_44_prunes_by_clocks_that_are_days_off_while_it_trains(
    machine: Machine, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = machine.start(Slow(STEP, 0.1))
    now, deleted = time.time(), 0
    monkeypatch.setenv("MTL_STORE", machine.store)
    while trainer.process.is_alive():
        for days in (2, -2):
            monkeypatch.setattr("time.time", lambda days=days: now + days * 86_400.0)
            deleted += prune_checkpoints(open_workspace(), delete=True).deleted
    monkeypatch.undo()
    assert trainer.end() == 0
    assert deleted == 0
    assert trainer.of("done")[0]["adapter_sha256"] == plain
    store = FolderStore(machine.store)
    report = verify_run(store, only_run(store))
    assert report.intact
    assert [commit.step for commit in report.commits] == [2, 4, 6]


@pytest.mark.slow
def test_row_36_two_retrains_of_one_configuration_at_once(machine: Machine, plain: str) -> None:
    # So slow that, on a machine with other work, neither is over before the other has begun.
    first, second = machine.start(Slow(STEP, 1.5)), machine.start(Slow(STEP, 1.5))
    codes = {first.end(): first, second.end(): second}
    assert set(codes) == {0, 75}
    assert codes[0].of("done")[0]["adapter_sha256"] == plain
    assert codes[75].of("done") == []
    assert verify_run(FolderStore(machine.store), only_run(FolderStore(machine.store))).intact
