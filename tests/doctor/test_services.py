"""The servers' checks, on a server that answers as told; real ones in test_checks."""

from __future__ import annotations

import base64
import json
import socket
import time
from email.utils import formatdate
from importlib import metadata
from pathlib import Path

import pytest

from mtl.doctor import services
from mtl.doctor.result import CheckResult, guarded
from mtl.settings import PrefectSettings, Settings
from tests.support.http import Answer, serving

BASIC = "Basic " + base64.b64encode(b"admin:correct-horse").decode()


def prefect(url: str, auth: str | None = None) -> list[CheckResult]:
    settings = PrefectSettings(url=f"{url}/api", home=Path("unused"), auth=auth)
    return list(guarded("prefect", lambda: services.prefect(settings)))


def mlflow(uri: str) -> list[CheckResult]:
    return list(
        guarded(
            "mlflow",
            lambda: services.mlflow(Settings(home=Path("unused"), store="unused", tracking_uri=uri, actor="me")),
        )
    )


def answers(version: str, user: str | None = None) -> dict[str, Answer]:
    return {
        "/api/admin/version": Answer(body=json.dumps(version).encode(), user=user),
        "/api/flows/count": Answer(body=b"1", user=user),
        "/api/flows/filter": Answer(body=b"[]", user=user),
        "/api/deployments/filter": Answer(body=b"[]", user=user),
        "/api/work_pools/filter": Answer(body=b'[{"name": "train", "is_paused": false}]', user=user),
        "/api/work_pools/train/workers/filter": Answer(body=b'[{"status": "OFFLINE"}]', user=user),
    }


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_nobody_listens() -> None:
    (found,) = prefect(closed_port())
    assert found.level == "fault"
    assert "Prefect does not answer at" in found.detail
    assert "mtl stack status" in (found.do or "")
    (found,) = mlflow(closed_port())
    assert found.level == "fault"
    assert "MLflow does not answer at" in found.detail


def test_a_server_of_an_older_prefect_and_no_worker() -> None:
    with serving(answers("3.1.2", BASIC)) as server:
        found = prefect(server.url, auth="admin:correct-horse")
    assert [item.level for item in found] == ["ok", "fault", "ok", "warning"]
    assert f"older than this client ({metadata.version('prefect')})" in found[1].detail
    assert "pip install prefect==3.1.2" in (found[1].do or "")
    assert "asks for credentials (401 without)" in found[2].detail
    assert "work pool train has no worker online" in found[3].detail


def test_wrong_credentials_for_prefect() -> None:
    with serving(answers("3.8.8", BASIC)) as server:
        (found,) = prefect(server.url, auth="admin:battery-staple")
    assert found.level == "fault"
    assert "refuses the credentials" in found.detail
    assert "PREFECT_API_AUTH_STRING" in (found.do or "")
    assert "battery-staple" not in str(found)


def test_a_server_that_answers_anybody() -> None:
    with serving(answers(metadata.version("prefect"))) as server:
        found = prefect(server.url)
    assert "answers anybody, without credentials" in found[1].detail
    assert found[1].level == "warning"  # on loopback


def test_an_address_without_api() -> None:
    with serving({"*": Answer(body=b"<html>")}) as server:
        (found,) = prefect(server.url)
    assert "answers, but it is no Prefect API" in found.detail


def test_mlflow_refuses_is_broken_or_is_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/api/2.0/mlflow/experiments/search"
    with serving({"/health": Answer(), "/version": Answer(body=b"2.0.0"), path: Answer(user=BASIC)}) as server:
        (refused,) = mlflow(server.url)
        assert "MLflow refuses the credentials" in refused.detail
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct-horse")
        found = mlflow(server.url)
        assert [item.level for item in found] == ["ok", "warning", "ok"]
        assert "the server is 2.0.0, this client is" in found[1].detail
        server.answers[path] = Answer(500)
        (broken,) = mlflow(server.url)
        assert "mlflow db upgrade" in (broken.do or "")


@pytest.mark.parametrize(("offset", "level"), [(0, "ok"), (-20, "warning"), (86400, "fault")])
def test_clocks(offset: float, level: str) -> None:
    with serving({"*": Answer(403, date=formatdate(time.time() + offset, usegmt=True))}) as server:
        (found,) = services.clocks({"S3": server.url})
    assert found.level == level
    if level == "fault":
        assert "this clock is 86400 s behind S3's" in found.detail.replace("86399", "86400").replace("86401", "86400")
        assert "timedatectl set-ntp true" in (found.do or "")


def test_a_server_that_is_away_is_left_to_its_own_check() -> None:
    assert list(services.clocks({"S3": closed_port()})) == []


@pytest.mark.parametrize(("stage", "level"), [("deleted", "fault"), ("active", "ok")])
def test_an_experiment_that_was_deleted_on_a_server(stage: str, level: str) -> None:
    body = json.dumps({"experiment": {"experiment_id": "7", "lifecycle_stage": stage}}).encode()
    with serving({"/api/2.0/mlflow/experiments/get-by-name": Answer(body=body)}) as server:
        settings = Settings(home=Path("unused"), store="unused", tracking_uri=server.url, actor="me")
        (found,) = guarded("mlflow", lambda: services.experiment(settings, "my runs&more"))
    (asked,) = server.asked
    assert asked.path.endswith("?experiment_name=my%20runs%26more")
    assert found.level == level
    restores = f"MLFLOW_TRACKING_URI={server.url} mlflow experiments restore -x 7" in str(found.do)
    assert restores == (level == "fault")


def test_of_an_experiment_nothing_is_said_where_the_server_does_not_answer() -> None:
    settings = Settings(home=Path("unused"), store="unused", tracking_uri=closed_port(), actor="me")
    assert list(guarded("mlflow", lambda: services.experiment(settings, "e"))) == []
