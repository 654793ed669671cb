"""Nobody gets in without credentials, nothing listens outside loopback, and no secret is anywhere but in its file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import psutil
import pytest
from botocore import UNSIGNED
from botocore.client import Config
from botocore.exceptions import ClientError

from tests.support.stacks import Service, processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_nothing_listens_outside_loopback(service: Service) -> None:
    listening = [
        (process.name(), connection.laddr.ip, connection.laddr.port)
        for process in processes(service)
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 5
    assert {ip for _, ip, _ in listening} == {"127.0.0.1"}, listening


@pytest.mark.parametrize("auth", [None, ("admin", "wrong"), ("admin", ""), ("", "")])
def test_prefect_and_mlflow_refuse_without_the_password(service: Service, auth: tuple[str, str] | None) -> None:
    tries = [
        ("POST", f"{service.environment['PREFECT_API_URL']}/flow_runs/filter"),
        ("GET", f"{service.environment['PREFECT_API_URL']}/admin/version"),
        ("GET", f"{service.environment['MLFLOW_TRACKING_URI']}/"),
        ("GET", f"{service.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1"),
        ("GET", f"{service.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow-artifacts/artifacts"),
    ]
    for method, url in tries:
        answer = httpx.request(method, url, json={} if method == "POST" else None, auth=auth, timeout=20)
        assert answer.status_code in (401, 403), f"{url}: {answer.status_code}"


def test_s3_refuses_strangers(service: Service) -> None:
    endpoint = service.environment["AWS_ENDPOINT_URL_S3"]
    stranger = boto3.client("s3", endpoint_url=endpoint, config=Config(signature_version=UNSIGNED))
    with pytest.raises(ClientError, match=r"403|AccessDenied"):
        stranger.list_objects_v2(Bucket="mtl")
    liar = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=service.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key="wrong",
    )
    with pytest.raises(ClientError, match=r"403|SignatureDoesNotMatch"):
        liar.list_objects_v2(Bucket="mtl")


@pytest.mark.parametrize("password", ["", "wrong"])
def test_postgresql_refuses_a_wrong_password(service: Service, password: str) -> None:
    port = json.loads((service.home / "stack" / "stack.json").read_text())["ports"]["postgres"]
    for user in ("postgres", "prefect", "mlflow"):
        done = subprocess.run(
            ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", user, "-w", "-c", "select 1", "postgres"],
            env={"PGPASSWORD": password, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "password" in done.stderr


def test_no_secret_is_anywhere_after_a_full_run(service: Service, undisturbed: str, commands_seen: set[str]) -> None:
    secrets = list(json.loads((service.home / "stack" / "secrets.json").read_text()).values())
    assert len(secrets) >= 10
    places: dict[str, str] = {"process list": "\n".join(commands_seen)}
    assert any("mtl.training" in command for command in commands_seen)
    for path in _files(service.home):
        places[str(path)] = path.read_bytes().decode("latin-1")
    for name in ("flow_runs", "task_runs", "logs", "artifacts", "deployments", "variables", "automations"):
        places[f"Prefect {name}"] = json.dumps(_all(service, name))
    searches: dict[str, dict[str, object] | None] = {
        "runs": {"experiment_ids": _experiments(service)},
        "registered-models": None,
    }
    for what, body in searches.items():
        places[f"MLflow {what}"] = json.dumps(_mlflow(service, f"{what}/search", body))
    for key in service.keys(""):
        places[f"store {key}"] = service.read(key).decode("latin-1")
    assert len(places) > 40
    found = [(place, secret[:3]) for place, text in places.items() for secret in secrets if secret in text]
    assert not found


def _files(home: Path) -> Iterator[Path]:
    """Logs, caches, last words, pages: all of MTL_HOME but the files that hold logins on purpose, and databases."""
    meant = {"secrets.json", "mlflow-auth.ini"}
    for path in home.rglob("*"):
        inside = path.relative_to(home).parts[:2]
        if path.is_file() and path.name not in meant and inside not in (("stack", "postgres"), ("stack", "s3")):
            yield path


def _all(service: Service, name: str) -> list[object]:
    found: list[object] = []
    while page := service.api("POST", f"{name}/filter", {"limit": 200, "offset": len(found)}):
        found += page
    return found


def _experiments(service: Service) -> list[str]:
    found = _mlflow(service, "experiments/search", {"max_results": 100})
    return [item["experiment_id"] for item in found["experiments"]]


def _mlflow(service: Service, path: str, body: dict[str, object] | None) -> dict[str, list[dict[str, str]]]:
    url = f"{service.environment['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/{path}"
    auth = ("admin", service.environment["MLFLOW_TRACKING_PASSWORD"])
    answer = httpx.request("POST" if body else "GET", url, json=body, auth=auth, timeout=30)
    found: dict[str, list[dict[str, str]]] = answer.raise_for_status().json()
    return found
