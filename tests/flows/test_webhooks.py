"""From a click in MLflow to the release: real MLflow, real Prefect, the real receiver, a real served deployment."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet
from prefect.settings import PREFECT_API_URL

from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.release.journal import read_journal
from mtl.release.promote import promote
from mtl.service.signing import sign
from mtl.store.folder import FolderStore
from tests.release.toy import MODEL, publish_toy
from tests.support.http import serving
from tests.support.mlflow_server import MlflowServer

pytestmark = pytest.mark.slow
KEY = "a key of sixteen and more"
SERVE = "from prefect import serve\nfrom flows.reconcile import reconcile\nserve(reconcile.to_deployment('poll'))\n"


def wait(until: object, *, seconds: float, what: str) -> float:
    """Seconds until `until()` is true."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        if until():  # type: ignore[operator]
            return time.monotonic() - started
        time.sleep(0.1)
    raise AssertionError(f"{what} not within {seconds} s")


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_CACHE_TTL", "1")
    server = MlflowServer(tmp_path / "mlflow")
    server.start()
    yield server.url
    server.kill()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_moved_alias_leads_to_the_release_within_thirty_seconds(
    tmp_path: Path, mlflow: str, processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path / "store")
    tracking = MlflowTracker(mlflow)
    tracking.client.create_registered_model(MODEL)
    for version in (1, 2):
        publish_toy(store, tmp_path, version)
        tracking.client.create_model_version(MODEL, f"s3://toy/v{version}", await_creation_for=0)
    promote(store, 1, model=MODEL, expected=None, reason="first", actor="gate", aliases=MlflowRegistry(tracking, MODEL))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with serving() as slack:
        environment = {
            **os.environ,
            "MTL_HOME": str(tmp_path / "home"),
            "MTL_STORE": str(tmp_path / "store"),
            "MLFLOW_TRACKING_URI": mlflow,
            "PREFECT_API_URL": PREFECT_API_URL.value(),
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT_RUNNER_POLL_FREQUENCY": "2",
            "MTL_WEBHOOK_MLFLOW_SECRET": KEY,
            "MTL_WEBHOOK_SECRET": KEY,
            "MTL_WEBHOOK_ON_DATA": "reconcile/poll",
            "MTL_METRICS_TOKEN": KEY,
            "MTL_NOTIFY_SLACK": slack.url,
        }
        receiver = [sys.executable, "-m", "mtl.cli", "webhooks", "--port", str(port), "--register", "--name", MODEL]
        for name, command in (("receiver", receiver), ("serve", [sys.executable, "-c", SERVE])):
            with (tmp_path / f"{name}.log").open("wb") as log:
                made = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
            processes.append(made)
        api = PREFECT_API_URL.value()
        deployment = f"{api}/deployments/name/reconcile/poll"
        wait(lambda: httpx.get(deployment).status_code == 200, seconds=60, what="the deployment")
        log_file = tmp_path / "receiver.log"
        wait(lambda: "registered with MLflow" in log_file.read_text(), seconds=60, what="the registration")

        tracking.client.set_registered_model_alias(MODEL, "champion", "2")
        took = wait(lambda: read_journal(store, MODEL).champion == 2, seconds=30, what="the release")
        assert read_journal(store, MODEL).head.actor == "mlflow"  # type: ignore[union-attr]
        wait(lambda: slack.asked, seconds=15, what="the notification")
        assert f"{MODEL}: champion is v2" in json.loads(slack.asked[0].body)["text"]
        (tmp_path / "seconds.txt").write_text(f"{took:.1f}")

        body = json.dumps({"parameters": {"model": MODEL}}).encode()
        now = int(time.time())
        headers = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": sign(KEY, "m", now, body)}
        answers = [httpx.post(f"http://127.0.0.1:{port}/data", content=body, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        first, again = (answer.json() for answer in answers)
        assert first["run"] == again["run"]  # Prefect's own idempotency
        assert again["again"]
        forged = httpx.post(f"http://127.0.0.1:{port}/data", content=b"{}", headers=headers)
        assert forged.status_code == 401
        request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Authorization": f"Bearer {KEY}"})
        text = urllib.request.urlopen(request, timeout=20).read().decode()
        assert f'mtl_champion_version{{model="{MODEL}"}} 2.0' in text
        assert 'mtl_up{service="mlflow"} 1.0' in text
        assert KEY not in log_file.read_text()


def test_it_does_not_start_without_keys_or_in_the_open(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    command = [sys.executable, "-m", "mtl.cli", "webhooks"]

    def refused(**more: str) -> str:
        options = ["--host", "0.0.0.0"] if more.pop("open", "") else []
        done = subprocess.run([*command, *options], env=environment | more, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        return done.stderr

    api = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    assert "no Prefect server to start runs on" in refused()
    assert "no key is set, so nothing could be received" in refused(**api)
    assert "0.0.0.0 can be reached by others" in refused(**api, MTL_WEBHOOK_SECRET=KEY, open="1")
