"""Prefect's server goes in mid-run and stays away: the run ends in bounded time, and one on another server goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.support.bases import save_base
from tests.support.prefect_server import prefect_server
from tests.support.retrains import small_values

pytestmark = pytest.mark.timeout(500)


def retrain(conf: Path, home: Path, url: str, output: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "MTL_HOME": str(home), "PREFECT_API_URL": url, "OMP_NUM_THREADS": "1"}
    environment["PREFECT_CLIENT_MAX_RETRIES"] = "2"  # with the usual five it takes four minutes to give up
    command = [sys.executable, "-m", "mtl.cli", "retrain", "-c", str(conf), "--json"]
    with output.open("w") as errors:
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)


def commits(home: Path) -> int:
    """How many checkpoints the store holds or held."""
    return sum('"kind":"commit"' in entry.read_text() for entry in home.glob("store/runs/*/log/*.json"))


@pytest.mark.slow
def test_the_run_ends_in_bounded_time_and_the_next_goes_on(tmp_path: Path) -> None:
    save_base(tmp_path / "base")
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(small_values(tmp_path / "base", max_steps=40)))
    home = tmp_path / "home"
    with prefect_server(tmp_path / "first") as (url, server):
        run = retrain(conf, home, url, tmp_path / "first.txt")
        deadline = time.monotonic() + 200
        while not commits(home):
            assert run.poll() is None, (tmp_path / "first.txt").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.kill()
        said, _ = run.communicate(timeout=200)
    assert run.returncode == 1
    error = json.loads(said.splitlines()[-1])["error"]
    assert (error["kind"], error["field"]) == ("transient", "PREFECT_API_URL")
    assert "stopped answering in mid-run" in error["message"]
    done = commits(home)
    with prefect_server(tmp_path / "second") as (url, _):
        again = retrain(conf, home, url, tmp_path / "second.txt")
        said, _ = again.communicate(timeout=300)
    assert again.returncode == 0, (tmp_path / "second.txt").read_text()[-3000:]
    assert json.loads(said.splitlines()[-1])["version"] == 1
    assert commits(home) == done == 20  # the training went on to its end without the server; nothing was trained twice
