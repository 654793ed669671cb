"""What an operator does not plan: the machine restarts, the manager is gone, temporary files are cleaned up."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

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
