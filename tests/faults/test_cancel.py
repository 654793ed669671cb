"""A command or a flow that is asked to stop stops its trainer, whose checkpoint is what the next start goes on from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from mtl.checkpoints.state import read_state
from mtl.config.retrain import parse_config
from mtl.store.folder import FolderStore
from tests.faults.conftest import NewMachine, only_run
from tests.support.retrains import small_values
from tests.support.trainers import machine_with

STEPS = 40  # enough to be caught in the middle


@pytest.fixture(scope="module")
def whole(workshop: Path, dataset: str) -> str:
    """Adapter of the uninterrupted run."""
    config = parse_config(values_in(workshop))
    made = machine_with(workshop / "whole-cancel", workshop / "home" / "store" / "datasets", config, dataset)
    return made.train().adapter


def values_in(workshop: Path) -> dict[str, Any]:
    return small_values(workshop / "base", max_steps=STEPS, save_steps=10)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "code"), [("train", 143), ("retrain", None)])
def test_row_11_a_command_or_flow_is_asked_to_stop(
    new_machine: NewMachine, workshop: Path, whole: str, tmp_path: Path, *, command: str, code: int | None
) -> None:
    values = values_in(workshop)
    machine = new_machine("stopped")
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(values))
    environment = {**os.environ, "MTL_HOME": str(machine.home), "OMP_NUM_THREADS": "1"}
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        environment.pop(name, None)
    arguments = [sys.executable, "-m", "mtl.cli", command, "-c", str(conf), "--json"]
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(arguments, env=environment, stdout=out, stderr=out, start_new_session=True)
        store = FolderStore(machine.store)
        wait_for_commit(store, process)
        (trainer,) = [p for p in psutil.Process(process.pid).children(recursive=True) if is_trainer(p)]
        process.send_signal(signal.SIGTERM)
        ended = process.wait(60)
    said = (tmp_path / "out").read_text()
    assert not trainer.is_running()
    assert ended == code if code is not None else ended != 0, said
    if command == "train":
        assert json.loads(said.splitlines()[-1])["error"]["kind"] == "preempted"
    newest = read_state(store, only_run(store)).newest
    assert newest is not None
    assert 10 <= newest.step < STEPS
    again = machine.train(config=parse_config(values))
    assert again.result["resumed_from"] == newest.step
    assert again.adapter == whole


def is_trainer(process: psutil.Process) -> bool:
    return "mtl.training" in " ".join(process.cmdline())


def wait_for_commit(store: FolderStore, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None
        if any("/manifests/" in info.key for info in store.list("runs/")):
            return
        time.sleep(0.02)
    raise AssertionError("no commit in four minutes")
