"""A machine that runs out of processes, memory or disk."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from mtl.config.retrain import RetrainConfig
from mtl.errors import MtlError
from mtl.mlflow_backend.tracker import MlflowTracker
from tests.support.disks import mounted
from tests.support.mlflow_db import fresh_tracking
from tests.support.preludes import STEP, Exhaust, Slow
from tests.support.trainers import Machine

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    with mounted(tmp_path / "disk", "size=6m") as disk:
        yield disk


def fill(disk: Path) -> Path:
    """A file that takes all the space that is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def test_row_14_a_data_loader_worker_is_killed(machine: Machine, config: RetrainConfig, plain: str) -> None:
    loading = config.model_copy(update={"train": config.train.model_copy(update={"dataloader_num_workers": 2})})
    trainer = machine.start(Slow(STEP, 0.5), config=loading)
    trainer.until("step", 1)
    workers = [p for p in psutil.Process(trainer.pid).children() if "spawn_main" in " ".join(p.cmdline())]
    assert len(workers) == 2
    workers[0].send_signal(signal.SIGKILL)
    assert trainer.end() == 74
    (error,) = trainer.of("error")
    assert (error["kind"], error["cause"]) == ("transient", "loader_died")
    assert machine.train(config=loading).adapter == plain


def test_row_15_no_memory_left(machine: Machine, plain: str) -> None:
    """An allocation that fails under a real limit; the kernel's own answer, SIGKILL, is rows 2 to 4."""
    starved = machine.train(Exhaust(6))
    assert starved.code == 71
    assert (starved.error["kind"], starved.error["cause"]) == ("transient", "out_of_memory")
    assert "lower train.max_tokens_per_batch" in starved.error["hint"]
    assert machine.train().adapter == plain


def test_row_16_local_disk_full(machine: Machine, plain: str, small_disk: Path) -> None:
    machine = machine.copy(small_disk / "machine")
    machine.said = machine.home.parent.parent
    trainer = machine.start(Slow(STEP, 0.3))
    trainer.until("commit", 2)
    ballast = fill(small_disk)
    assert trainer.end() == 73
    (error,) = trainer.of("error")
    assert (error["kind"], error["cause"]) == ("permanent", "disk_full")
    assert "free space" in error["hint"]
    ballast.unlink()
    again = machine.train()
    assert again.result["resumed_from"] >= 2
    assert again.adapter == plain


def test_row_17_database_disk_full(small_disk: Path, tmp_path: Path) -> None:
    """A value that did not fit is never taken for logged; with space again everything is there, once."""
    tracking: MlflowTracker = fresh_tracking(small_disk)
    run = tracking.run_for("a1", experiment="e")
    ballast, logged = fill(small_disk), -1
    with pytest.raises(MtlError):
        for step in range(200):
            tracking.log_metrics(run, {f"loss{n}": float(step + n) for n in range(100)}, step=step)
            logged = step
    ballast.unlink()
    tracking.log_metrics(run, {"after": 1.0}, step=0)
    history = tracking.client.get_metric_history(run, "loss0")
    assert sorted(point.step for point in history)[: logged + 1] == list(range(logged + 1))
    with closing(sqlite3.connect(small_disk / "mlflow.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
