"""Kill or restart anything in mid-retrain: the run completes by itself, with the same weights and one version."""

from __future__ import annotations

import signal

import pytest

from tests.support.stacks import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def begin(service: Service, model: str) -> str:
    """A retrain that has a checkpoint and is not at its end."""
    service.forget_runs()
    run = service.trigger("retrain/demo", {"config": service.config(model)})
    service.until_checkpoint()
    return run


@pytest.mark.parametrize("name", ["prefect", "postgres", "s3-disk", "mlflow"])
def test_a_service_is_killed_in_mid_training_and_the_run_completes(
    service: Service, undisturbed: str, name: str
) -> None:
    run = begin(service, f"without-{name}")
    service.kill(name)
    service.wait(run)
    assert service.adapter(f"without-{name}") == undisturbed


def test_the_worker_is_asked_to_stop_and_the_run_goes_on_with_the_next(service: Service, undisturbed: str) -> None:
    run = begin(service, "worker-term")
    service.kill("worker", signal.SIGTERM)
    found = service.wait(run)
    assert service.adapter("worker-term") == undisturbed
    assert found["run_count"] == 2


def test_the_run_itself_is_asked_to_stop_as_on_a_spot_node(service: Service, undisturbed: str) -> None:
    run = begin(service, "spot-node")
    (executor,) = (found for found in service.children("worker") if "execute" in found.cmdline())
    executor.terminate()
    found = service.wait(run)
    assert service.adapter("spot-node") == undisturbed
    assert found["run_count"] == 2


def test_the_worker_is_killed_and_its_run_completes(service: Service, undisturbed: str) -> None:
    run = begin(service, "worker-kill")
    service.kill("worker", signal.SIGKILL)
    service.wait(run)
    assert service.adapter("worker-kill") == undisturbed


def test_a_run_killed_with_its_worker_is_found_dead_and_started_again(service: Service, undisturbed: str) -> None:
    run = begin(service, "machine-gone")
    for process in (*service.children("worker"), None):
        if process is None:
            service.kill("worker", signal.SIGKILL)
        else:
            process.kill()
    crashed = service.until(run, lambda found: found["state_type"] != "RUNNING", seconds=200)
    assert crashed["state_type"] in ("CRASHED", "SCHEDULED", "PENDING")
    found = service.wait(run)
    assert found["run_count"] == 2
    assert service.adapter("machine-gone") == undisturbed
