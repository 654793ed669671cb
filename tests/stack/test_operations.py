"""Doctor, status, webhooks and metrics on the real services."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.release.journal import read_journal
from mtl.release.promote import promote
from mtl.service.signing import sign
from mtl.stack.state import open_stack
from mtl.store.open import open_store
from tests.release.toy import MODEL, publish_toy
from tests.support.stacks import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def inside(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """This process as a client of the stack."""
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    return service


def receiver(service: Service) -> str:
    return open_stack(service.home).url("webhooks")


def test_the_doctor_finds_no_fault_on_a_stack(service: Service) -> None:
    document = service.mtl("doctor")
    assert document["ok"] is True, document
    found = {(item["check"], item["detail"].partition(":")[0]) for item in document["findings"]}
    levels = {item["check"]: item["level"] for item in document["findings"]}
    assert {levels[check] for check in ("store", "prefect", "mlflow", "workers")} == {"ok"}
    assert ("prefect", "asks for credentials (401 without)") in found
    assert ("mlflow", "asks for credentials (401 without)") in found
    assert {item["detail"] for item in document["findings"] if item["check"] == "clock"} == {
        f"agrees with {name}'s within 5 s" for name in ("S3", "MLflow", "Prefect")
    }


def test_the_doctor_names_a_wrong_password(service: Service) -> None:
    wrong = Service(service.home, service.base, service.environment | {"PREFECT_API_AUTH_STRING": "admin:wr0ng-word"})
    done = wrong.run("doctor")
    assert done.returncode == 1
    document = json.loads(done.stdout.splitlines()[-1])
    (fault,) = [item for item in document["findings"] if item["level"] == "fault"]
    assert "Prefect refuses the credentials" in fault["detail"]
    assert "wr0ng-word" not in done.stdout + done.stderr


def test_status_shows_what_is_next_and_who_works(service: Service) -> None:
    started = time.monotonic()
    document = service.mtl("status")
    assert time.monotonic() - started < 20  # seconds, most of them other tests' work on the same cores
    assert set(document["services"].values()) == {"ok"}
    assert [(pool["name"], pool["workers"]) for pool in document["pools"]] == [("mtl", 1)]
    assert document["next"][0]["deployment"] in {"reconcile/follow-aliases", "check-data/look-for-new-data"}
    planned = [item["deployment"] for item in document["next"]]
    assert "retrain/nightly" in planned
    assert len(planned) == len(set(planned)) == document["schedules"]
    assert "nothing is scheduled" not in " ".join(document["warnings"])


def test_an_alias_moved_in_mlflow_leads_to_the_release_within_thirty_seconds(inside: Service, tmp_path: Path) -> None:
    store = open_store(inside.environment["MTL_STORE"])
    tracking = MlflowTracker(inside.environment["MLFLOW_TRACKING_URI"])
    tracking.client.create_registered_model(MODEL)
    for version in (1, 2):
        publish_toy(store, tmp_path, version)
        tracking.client.create_model_version(MODEL, "s3://mtl/none", await_creation_for=0)
    promote(store, 1, model=MODEL, expected=None, reason="first", actor="gate", aliases=MlflowRegistry(tracking, MODEL))
    deadline = time.monotonic() + 60
    while "registered with MLflow" not in inside.log("webhooks"):
        assert time.monotonic() < deadline, inside.log("webhooks")
        time.sleep(0.5)
    time.sleep(6)  # MLflow looks for new receivers every five seconds
    began = time.monotonic()
    tracking.client.set_registered_model_alias(MODEL, "champion", "2")
    while read_journal(store, MODEL).champion != 2:
        assert time.monotonic() - began < 30, inside.log("webhooks") + inside.log("worker")
        time.sleep(0.2)
    assert json.loads(store.get(f"releases/{MODEL}/log/000000000002.json"))["actor"] == "mlflow"


def test_posts_are_refused_unless_they_are_signed_and_of_now(service: Service) -> None:
    url, key = f"{receiver(service)}/data", service.environment["MTL_WEBHOOK_SECRET"]
    body, now = b'{"bucket": "news"}', int(time.time())
    headers = {"webhook-id": "one", "webhook-timestamp": str(now), "webhook-signature": sign(key, "one", now, body)}
    assert httpx.post(url, content=body).status_code == 401
    assert httpx.post(url, content=b"{}", headers=headers).status_code == 401
    old = {**headers, "webhook-timestamp": str(now - 900), "webhook-signature": sign(key, "one", now - 900, body)}
    assert httpx.post(url, content=body, headers=old).status_code == 401
    answers = [httpx.post(url, content=body, headers=headers, timeout=20) for _ in range(2)]
    assert [answer.json()["started"] for answer in answers] == ["check-data/look-for-new-data"] * 2
    assert answers[0].json()["run"] == answers[1].json()["run"]
    other = sign(key, "one", now, b"{}")
    assert httpx.post(url, content=b"{}", headers={**headers, "webhook-signature": other}).status_code == 409
    service.api("DELETE", f"flow_runs/{answers[0].json()['run']}")


def test_metrics_are_for_those_with_the_token(service: Service) -> None:
    url = f"{receiver(service)}/metrics"
    assert httpx.get(url).status_code == 401
    token = service.environment["MTL_METRICS_TOKEN"]
    text = httpx.get(url, headers={"authorization": f"Bearer {token}"}, timeout=20).text
    assert 'mtl_up{service="prefect"} 1.0' in text
    assert 'mtl_workers_online{pool="mtl"} 1.0' in text


def test_the_containers_worker_starts_on_these_services(service: Service, tmp_path: Path) -> None:
    """docker/worker.sh as it stands: doctor, deploy, then a worker of the same pool."""
    environment = {**os.environ, **service.environment, "MTL_WORKER_NAME": "of-docker", "MTL_HOME": str(tmp_path)}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PREFECT_HOME": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(["docker/worker.sh"], env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while True:
            workers = service.api("POST", "work_pools/mtl/workers/filter", {})
            if any(item["name"] == "of-docker" and item["status"] == "ONLINE" for item in workers):
                break
            assert worker.poll() is None, (tmp_path / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.5)
        assert "no faults" in (tmp_path / "log").read_text()
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        try:
            worker.wait(30)
        except subprocess.TimeoutExpired:  # Prefect's worker can miss a signal while it starts
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
