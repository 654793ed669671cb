"""The webhook receiver over HTTP: what starts a run, what starts it again, and what is refused."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from mtl.errors import MtlError, NotFoundError, TransientError
from mtl.service.signing import sign
from mtl.service.webhooks import MOST_BYTES, Received, make_app
from mtl.settings.service import WebhookSettings
from mtl.store.folder import FolderStore

KEY, MLFLOW_KEY, TOKEN = "key for new data here", "key of mlflow's posts", "token for prometheus"
MOVED = {
    "entity": "model_version_alias",
    "action": "created",
    "timestamp": "2026-11-23T01:02:03",
    "data": {"name": "mtl-flan-t5", "alias": "champion", "version": "2"},
}


class Prefect:
    """Starts as Prefect does: the same key gives the same run."""

    def __init__(self) -> None:
        self.runs: dict[str, tuple[str, dict[str, Any]]] = {}
        self.error: Exception | None = None

    def __call__(self, deployment: str, parameters: dict[str, Any], *, idempotency_key: str) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.runs.setdefault(idempotency_key, (deployment, parameters))
        return {"id": idempotency_key, "name": "a-run"}


class Sender:
    def __init__(self, folder: Path, settings: WebhookSettings) -> None:
        self.prefect = Prefect()
        self.received = Received(FolderStore(folder))
        app = make_app(settings, self.prefect, self.received, lambda: "mtl_up 1\n")
        self.http = TestClient(app)

    def mlflow(self, post: object, *, message_id: str = "d-1", age: int = 0, key: str = MLFLOW_KEY) -> Response:
        return self._send("/mlflow", post, message_id, age, key, ("x-mlflow-delivery-id", "x-mlflow-"))

    def data(self, post: object, *, message_id: str = "m-1", age: int = 0, key: str = KEY) -> Response:
        return self._send("/data", post, message_id, age, key, ("webhook-id", "webhook-"))

    def _send(self, path: str, post: object, message_id: str, age: int, key: str, names: tuple[str, str]) -> Response:
        body = post if isinstance(post, bytes) else json.dumps(post).encode()
        now = int(time.time()) - age
        headers = {
            names[0]: message_id,
            f"{names[1]}timestamp": str(now),
            f"{names[1]}signature": sign(key, message_id, now, body),
        }
        return self.http.post(path, content=body, headers=headers)  # type: ignore[return-value]  # of httpx2, which is like it


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path, WebhookSettings(mlflow_secret=MLFLOW_KEY, secret=KEY, metrics_token=TOKEN))


def test_a_moved_champion_starts_the_reconciling_run_with_its_model(sender: Sender) -> None:
    answer = sender.mlflow(MOVED)
    assert answer.status_code == 200
    assert answer.json() == {
        "started": "reconcile/follow-aliases",
        "run": "webhook-mlflow-d-1",
        "name": "a-run",
        "again": False,
    }
    assert sender.prefect.runs == {"webhook-mlflow-d-1": ("reconcile/follow-aliases", {"model": "mtl-flan-t5"})}


@pytest.mark.parametrize("change", [{"entity": "model_version"}, {"data": {"alias": "candidate", "name": "x"}}])
def test_other_events_start_nothing(sender: Sender, change: dict[str, object]) -> None:
    answer = sender.mlflow(MOVED | change)
    assert (answer.status_code, answer.json()["started"]) == (200, None)
    assert sender.prefect.runs == {}


def test_new_data_start_the_check(sender: Sender) -> None:
    assert (
        sender.data({"bucket": "news", "parameters": {"force": True}}).json()["started"]
        == "check-data/look-for-new-data"
    )
    assert sender.prefect.runs == {"webhook-data-m-1": ("check-data/look-for-new-data", {"force": True})}


def test_the_same_post_again_is_the_same_run_and_another_body_is_refused(sender: Sender, tmp_path: Path) -> None:
    first, again = sender.data({"n": 1}), sender.data({"n": 1})
    assert (first.json()["again"], again.json()["again"]) == (False, True)
    assert first.json()["run"] == again.json()["run"]
    other = sender.data({"n": 2})
    assert other.status_code == 409
    assert other.json()["error"]["message"] == "id m-1 came before with another body"
    assert len(sender.prefect.runs) == 1
    restarted = Sender(tmp_path, WebhookSettings(secret=KEY))
    assert restarted.data({"n": 2}).status_code == 409
    assert sender.mlflow(MOVED, message_id="m-1").status_code == 200  # ids of another source


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "a wrong key, long enough"}, "the signature is wrong"),
        ({"age": 301}, "s old, allowed are 300"),
        ({"age": -310}, "s old, allowed are 300"),
        ({"message_id": "../../etc"}, "the post has no proper id and timestamp"),
    ],
)
def test_what_is_not_to_be_trusted_starts_nothing(sender: Sender, options: dict[str, Any], message: str) -> None:
    for answer in (sender.data({}, **options), sender.mlflow(MOVED, **options)):
        assert answer.status_code == 401
        assert message in answer.json()["error"]["message"]
    assert sender.prefect.runs == {}
    assert sender.http.post("/mlflow", json=MOVED).status_code == 401


def test_posts_that_cannot_be_meant(sender: Sender) -> None:
    assert sender.data(b"not json", message_id="a").status_code == 400
    assert sender.data([1], message_id="b").json()["error"]["message"] == "the body is no JSON object"
    assert sender.data({"parameters": 3}, message_id="c").status_code == 400
    assert sender.data(b"[" * 100_000, message_id="d").status_code == 400
    assert sender.data(b"x" * (MOST_BYTES + 1), message_id="e").status_code == 413
    assert sender.prefect.runs == {}


def test_a_source_without_a_key_is_closed(tmp_path: Path) -> None:
    sender = Sender(tmp_path, WebhookSettings(secret=KEY))
    answer = sender.mlflow(MOVED)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "no key is set for /mlflow")
    assert sender.http.get("/metrics").status_code == 404
    for path in ("/docs", "/openapi.json", "/redoc"):
        assert sender.http.get(path).status_code == 404


@pytest.mark.parametrize("error", [TransientError("Prefect is away"), NotFoundError("no such deployment")])
def test_while_prefect_cannot_start_it_the_sender_is_told_to_try_again(sender: Sender, error: Exception) -> None:
    sender.prefect.error = error
    assert sender.data({}).status_code == 503
    sender.prefect.error = None
    assert sender.data({}).status_code == 200
    assert len(sender.prefect.runs) == 1


def test_metrics_need_the_token_and_health_nothing(sender: Sender) -> None:
    assert sender.http.get("/health").json() == {"ok": True}
    assert sender.http.get("/metrics").status_code == 401
    assert sender.http.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
    answer = sender.http.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.text) == (200, "mtl_up 1\n")


def test_ids_are_forgotten_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received = Received(FolderStore(tmp_path))
    assert received.check("data", "old", b"1")
    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    os.utime(kept, (time.time() - 2 * 86400,) * 2)
    later = time.monotonic() + 2 * 86400
    monkeypatch.setattr("mtl.service.webhooks.time.monotonic", lambda: later)
    received.check("data", "new", b"1")
    assert received.check("data", "old", b"2")


def test_a_clock_that_is_ahead_makes_it_forget_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received = Received(FolderStore(tmp_path))
    assert received.check("data", "id", b"1")
    later = time.time() + 2 * 86400
    monkeypatch.setattr("mtl.service.webhooks.time.time", lambda: later)
    monkeypatch.setattr("mtl.service.webhooks.time.monotonic", lambda: later)
    received.check("data", "new", b"1")
    with pytest.raises(MtlError, match="came before with another body"):
        received.check("data", "id", b"2")
