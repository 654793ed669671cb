"""What an operator does not plan: the machine restarts, the manager is gone, temporary files are cleaned up."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path

import boto3
import httpx
import psutil
import pytest
from botocore.exceptions import ClientError

from tests.support.stacks import Service, processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def begin(service: Service, model: str) -> str:
    """A retrain that has a checkpoint and is not at its end."""
    service.forget_runs()
    run = service.trigger("retrain/demo", {"config": service.config(model)})
    service.until_checkpoint()
    return run


def test_a_run_interrupted_by_a_reboot_goes_on_after_up(service: Service, undisturbed: str) -> None:
    run = begin(service, "reboot")
    for process in [*processes(service)]:
        process.kill()
    psutil.wait_procs([*processes(service)], timeout=30)
    service.up()
    found = service.wait(run)
    assert found["run_count"] == 2
    assert service.adapter("reboot") == undisturbed


def test_another_tmpdir_finds_the_running_stack(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = service.pid("worker")
    assert service.mtl("stack", "status")["healthy"] is True
    service.mtl("stack", "up")
    assert service.pid("worker") == before


def test_up_without_the_manager_stops_a_training_at_a_safe_point_and_goes_on(
    service: Service, undisturbed: str
) -> None:
    run = begin(service, "no-manager")
    manager = psutil.Process(service.pid("prefect")).parent()
    assert manager is not None
    manager.kill()
    trainers = [found for found in processes(service) if "mtl.training" in found.cmdline()]
    said = service.run("stack", "status")
    assert said.returncode == 1
    assert "without its manager" in said.stdout
    service.up()
    assert not [found for found in trainers if found.is_running()]
    service.wait(run)
    assert service.adapter("no-manager") == undisturbed


def test_down_without_waiting_takes_no_longer_than_a_step_and_a_save(service: Service) -> None:
    begin(service, "down-at-once")
    began = os.times().elapsed
    service.mtl("stack", "down", "--wait", "0")
    assert os.times().elapsed - began < 45
    assert not list(processes(service))
    service.up()


def test_the_stack_comes_up_on_other_ports_with_everything_in_it(service: Service) -> None:
    keys, runs = service.keys(""), service.api("POST", "flow_runs/count", {})
    service.mtl("stack", "down", "--wait", "0")
    file = service.home / "stack" / "stack.json"
    kept = json.loads(file.read_text())
    kept["ports"] = _free_ports(kept["ports"])
    file.write_text(json.dumps(kept))
    service.up()
    assert set(keys) <= set(service.keys(""))
    assert service.api("POST", "flow_runs/count", {}) >= runs


def test_an_up_that_fails_leaves_nothing_running(service: Service) -> None:
    service.mtl("stack", "down", "--wait", "0")
    config = service.home / "stack" / "s3" / "mon" / "keyring"
    aside = config.rename(config.with_suffix(".aside"))
    try:
        said = service.run("stack", "up", seconds=300)
        assert said.returncode == 1
        assert "s3-monitor does not become healthy" in said.stdout
        assert not list(processes(service))
    finally:
        aside.rename(config)
    service.up()


def test_a_run_whose_folder_is_gone_is_failed_after_a_few_crashes(service: Service) -> None:
    found = service.api("GET", "deployments/name/prune/prune-checkpoints")
    gone = {**found["job_variables"], "working_dir": str(service.home / "gone")}
    service.api("PATCH", f"deployments/{found['id']}", {"job_variables": gone, "tags": ["mtl", "rerun"]})
    doctor = json.loads(service.run("doctor").stdout.splitlines()[-1])
    assert f"prune/prune-checkpoints cannot run: its folder {gone['working_dir']} does not exist" in str(
        doctor["findings"]
    )
    run = service.trigger("prune/prune-checkpoints", {})
    deadline = time.monotonic() + 400
    while (state := service.api("GET", f"flow_runs/{run}")["state"])["type"] != "FAILED":
        assert time.monotonic() < deadline, state
        time.sleep(2)
    assert "crashed 5 times" in state["message"]
    time.sleep(40)  # longer than the automation that runs crashed runs again takes
    assert service.api("GET", f"flow_runs/{run}")["state"]["type"] == "FAILED"
    changed = service.mtl("deploy")["changes"]
    assert any("prune/prune-checkpoints folder" in change for change in changed)
    assert service.mtl("deploy")["changes"] == []


def _free_ports(names: Iterable[str]) -> dict[str, int]:
    """A free port for each name."""
    with contextlib.ExitStack() as held:
        listeners = {name: held.enter_context(socket.create_server(("127.0.0.1", 0))) for name in names}
        return {name: listener.getsockname()[1] for name, listener in listeners.items()}


def test_rotated_passwords_are_in_force_and_the_old_ones_void(service: Service) -> None:
    old = dict(service.environment)
    assert service.run("stack", "rotate").returncode == 2, "the stack runs"
    service.mtl("stack", "down", "--wait", "0")
    service.mtl("stack", "rotate")
    service.up()
    new = service.environment
    for name in ("PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "MTL_METRICS_TOKEN"):
        assert old[name] != new[name]
    url = f"{new['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(url, auth=("admin", new["MLFLOW_TRACKING_PASSWORD"])).status_code == 200
    assert httpx.get(url, auth=("admin", old["MLFLOW_TRACKING_PASSWORD"])).status_code == 401
    assert service.keys("") is not None
    stale = boto3.client(
        "s3",
        endpoint_url=new["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=old["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=old["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    with pytest.raises(ClientError, match=r"InvalidAccessKeyId|AccessDenied|Forbidden"):
        stale.list_buckets()
    assert not (service.home / "stack" / "secrets.previous.json").exists()
