"""Prefect's server, or the run in it, goes in mid-run: the run ends in bounded time, and another one goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from mtl.checkpoints.state import read_state
from mtl.store.folder import FolderStore
from tests.faults.conftest import only_run
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


def wait_for_commit(home: Path, run: subprocess.Popen[str], output: Path) -> None:
    deadline = time.monotonic() + 200
    while not commits(home):
        assert run.poll() is None, output.read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_run_that_is_deleted_in_mid_training_ends_with_a_checkpoint_and_says_so(tmp_path: Path) -> None:
    save_base(tmp_path / "base")
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(small_values(tmp_path / "base", max_steps=5000, save_steps=1000)))
    home = tmp_path / "home"
    with prefect_server(tmp_path / "prefect") as (url, _):
        run = retrain(conf, home, url, tmp_path / "said.txt")
        wait_for_step(home, run, tmp_path / "said.txt")
        (found,) = httpx.post(f"{url}/flow_runs/filter", json={}).json()
        assert httpx.delete(f"{url}/flow_runs/{found['id']}").status_code == 204
        said, _ = run.communicate(timeout=200)
    assert run.returncode == 1
    error = json.loads(said.splitlines()[-1])["error"]
    assert error["kind"] == "permanent"
    assert error["message"] == f"flow run {found['id']} was deleted in Prefect, so train was stopped"
    assert "resumes from the last checkpoint" in error["hint"]
    store = FolderStore(home / "store")
    newest = read_state(store, only_run(store)).newest
    assert newest is not None
    assert newest.step % 1000  # saved because it was stopped
    # The command line of a zombie, of whatever on this machine, is None.
    left = [found for found in psutil.process_iter(["cmdline"]) if str(home) in " ".join(found.info["cmdline"] or [])]
    assert not left


def wait_for_step(home: Path, run: subprocess.Popen[str], output: Path) -> None:
    """Until the trainer's first steps are told."""
    deadline = time.monotonic() + 200
    while not list(home.glob("metrics/*.jsonl")):
        assert run.poll() is None, output.read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_the_run_ends_in_bounded_time_and_the_next_goes_on(tmp_path: Path) -> None:
    save_base(tmp_path / "base")
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(small_values(tmp_path / "base", max_steps=40)))
    home = tmp_path / "home"
    with prefect_server(tmp_path / "first") as (url, server):
        run = retrain(conf, home, url, tmp_path / "first.txt")
        wait_for_commit(home, run, tmp_path / "first.txt")
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
