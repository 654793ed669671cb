"""A retrain that is stopped or killed: nothing that it started outlives it, or keeps a pipe of its caller open."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.support.bases import save_base
from tests.support.retrains import small_values

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


def start(conf: Path, home: Path) -> subprocess.Popen[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MTL_", "MLFLOW_"))}
    environment = {**plain, "MTL_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mtl.cli", "retrain", "-c", str(conf), "--json"]
    with (home.parent / "said.txt").open("a") as errors:
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)


def children_in_training(process: subprocess.Popen[str], home: Path) -> list[psutil.Process]:
    """Server and trainer, once a checkpoint is there."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, (home.parent / "said.txt").read_text()[-3000:]
        if any('"kind":"commit"' in entry.read_text() for entry in home.glob("store/runs/*/log/*.json")):
            return psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.05)
    raise AssertionError("no commit in four minutes")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_row_55_nothing_outlives_a_retrain_that_was_stopped_or_killed(tmp_path: Path, how: signal.Signals) -> None:
    save_base(tmp_path / "base")
    conf, home = tmp_path / "conf.yaml", tmp_path / "home"
    conf.write_text(yaml.safe_dump(small_values(tmp_path / "base", max_steps=400, save_steps=2)))
    process = start(conf, home)
    children = children_in_training(process, home)
    commands = [" ".join(child.cmdline()) for child in children]
    assert any("flows.server" in command for command in commands)
    assert any("mtl.training" in command for command in commands)
    process.send_signal(how)
    said, _ = process.communicate(timeout=60)  # the pipe is closed by whoever still holds it
    if how == signal.SIGTERM:
        assert process.returncode == 143
        assert json.loads(said.splitlines()[-1])["error"]["kind"] == "preempted"
    _, left = psutil.wait_procs(children, timeout=30)  # the trainer ends its step and saves
    assert not left
    for path in (home, *home.rglob("*")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
