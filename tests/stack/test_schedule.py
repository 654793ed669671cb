"""A schedule fires by itself, once: also when the server restarts in between and somebody starts a run by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.stacks import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
DEPLOYMENT = "retrain/demo"
SCHEDULER_LOOP = 60
"""Seconds between two rounds of Prefect's scheduler: a schedule that is added to a deployment waits for one."""


def test_once_across_a_restart_and_beside_a_run_by_hand(service: Service, undisturbed: str) -> None:
    deployment = service.api("GET", f"deployments/name/{DEPLOYMENT}")["id"]
    parameters = {"config": service.config("undisturbed")}
    due = datetime.now(UTC) + timedelta(seconds=SCHEDULER_LOOP + 30)
    schedule = {"interval": 3600, "anchor_date": due.isoformat(), "timezone": "UTC"}
    wanted = [{"schedule": schedule, "active": True, "parameters": parameters}]
    (made,) = service.api("POST", f"deployments/{deployment}/schedules", wanted)
    try:
        while not due_runs(service, deployment, due):  # a schedule that is seconds old is not yet a run
            assert datetime.now(UTC) < due, "the scheduler made no run of it"
            time.sleep(1)
        service.kill("prefect")
        service.api("GET", "health")
        time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        by_hand = service.trigger(DEPLOYMENT, parameters)
        fired = until_fired(service, deployment, due)
        for run in (by_hand, fired["id"]):
            service.wait(run)
        assert len(due_runs(service, deployment, due)) == 1
    finally:
        service.api("DELETE", f"deployments/{deployment}/schedules/{made['id']}")
    first, second = (service.api("GET", f"flow_runs/{run}") for run in (by_hand, fired["id"]))
    assert not (first["start_time"] < second["end_time"] and second["start_time"] < first["end_time"])  # one queued
    assert service.adapter("undisturbed") == undisturbed


def until_fired(service: Service, deployment: str, due: datetime) -> dict[str, Any]:
    """The run of the schedule once it left SCHEDULED."""
    deadline = time.monotonic() + 120
    while True:
        runs = due_runs(service, deployment, due)
        if runs and runs[0]["state_type"] != "SCHEDULED":
            return runs[0]
        assert time.monotonic() < deadline, f"the schedule did not fire: {runs}"
        time.sleep(0.5)


def due_runs(service: Service, deployment: str, due: datetime) -> list[dict[str, Any]]:
    """Runs that the scheduler made for that moment."""
    wanted = {
        "flow_runs": {"deployment_id": {"any_": [deployment]}, "tags": {"all_": ["auto-scheduled"]}},
        "limit": 50,
    }
    found = service.api("POST", "flow_runs/filter", wanted)
    moment = due.timestamp()
    return [run for run in found if abs(datetime.fromisoformat(run["expected_start_time"]).timestamp() - moment) < 5]
