"""mtl stack: up, status, env and down, with every service real."""

from __future__ import annotations

import stat
from typing import Any

import httpx
import pytest

from tests.support.stacks import Service, processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SERVICES = ["postgres", "s3-monitor", "s3-disk", "s3", "prefect", "mlflow", "worker", "webhooks", "serve"]


def test_everything_is_healthy_within_90_seconds(service: Service, first_up: dict[str, Any]) -> None:
    assert first_up["healthy"] is True
    assert [item["name"] for item in first_up["services"]] == SERVICES
    assert max(first_up["seconds"].values()) < 90


def test_the_idle_stack_takes_less_than_two_gigabytes(service: Service) -> None:
    assert service.mtl("stack", "status")["memory_mb"] < 2000


def test_up_again_finds_everything_running(service: Service) -> None:
    before = service.pid("prefect")
    assert max(service.mtl("stack", "up")["seconds"].values()) < 10
    assert service.pid("prefect") == before


def test_secrets_are_in_one_file_that_only_the_owner_reads(service: Service) -> None:
    file = service.home / "stack" / "secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = service.run("stack", "status").stdout
    for secret in secrets(service):
        assert secret not in shown


def test_deploy_again_changes_nothing(service: Service) -> None:
    before = service.api("POST", "deployments/filter", {})
    first = service.mtl("deploy")
    again = service.api("POST", "deployments/filter", {})
    assert first["deployments"][-6:] == [
        *("retrain/demo", "retrain/nightly", "retrain/short", "retrain/weekly-full"),
        *("rollback/roll-back", "watch-served/watch-served"),
    ]
    changing = ("updated", "version_id", "version_info", "last_polled", "status")
    kept = [
        {item["id"]: {k: v for k, v in item.items() if k not in changing} for item in items}
        for items in (before, again)
    ]
    for items in kept:
        for item in items.values():
            item["schedules"] = [schedule["schedule"] for schedule in item["schedules"]]
            limit = item.pop("global_concurrency_limit") or {}  # it also counts the runs of the moment
            item["limit"] = limit.get("limit")
    assert kept[0] == kept[1]
    assert len(service.api("POST", "automations/filter", {})) == 3


def test_down_and_up_again_keep_everything_and_a_run_in_between_goes_on(service: Service, undisturbed: str) -> None:
    runs = service.api("POST", "flow_runs/count", {})
    service.forget_runs()
    run = service.trigger("retrain/demo", {"config": service.config("across-down")})
    service.until_checkpoint()
    said = service.mtl("stack", "down", "--wait", "0")
    assert len(said["interrupted"]) == 1
    assert service.run("stack", "status").returncode == 1
    assert not list(processes(service))
    service.up()
    assert service.api("POST", "flow_runs/count", {}) >= runs > 0
    service.wait(run)
    assert service.adapter("across-down") == service.adapter("undisturbed") == undisturbed
    (version,) = service.versions("undisturbed")
    listed = httpx.get(
        f"{service.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/artifacts/list",
        params={"run_id": version["run_id"], "path": "evaluation"},
        auth=("admin", service.environment["MLFLOW_TRACKING_PASSWORD"]),
    ).json()
    assert {file["path"] for file in listed["files"]} >= {"evaluation/report.html", "evaluation/report.json"}


def secrets(service: Service) -> list[str]:
    """Every password and key of the stack."""
    import json

    return list(json.loads((service.home / "stack" / "secrets.json").read_text()).values())
