"""mtl deploy as a person reads it, and with a Prefect server that does not answer, refuses, or is none."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run
from mtl.cli.stack import deploy_text
from tests.support.http import Answer, serving


@pytest.fixture(params=[["deploy"], ["retrain", "-c", "demo"]], ids=["deploy", "retrain"])
def command(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    yield [*request.param, "--json"]
    assert list(tmp_path.iterdir()) == []  # nothing was begun


def error_of(capsys: pytest.CaptureFixture[str]) -> tuple[str, str, str]:
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    return error["kind"], error["field"], error["message"]


def test_a_server_that_does_not_answer_is_named(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    assert run(command) == 1
    kind, field, message = error_of(capsys)
    assert (kind, field) == ("transient", "PREFECT_API_URL")
    assert f"Prefect does not answer at {url} (ConnectError)" in message


def test_a_refused_login_is_named(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"*": Answer(user="Basic wanted")}) as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:not-the-password")
        assert run(command) == 1
    kind, field, message = error_of(capsys)
    assert (kind, field) == ("permanent", "PREFECT_API_AUTH_STRING")
    assert "refuses the credentials" in message


def test_an_address_without_a_prefect_is_named(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"*": Answer(body=b"<html>")}) as server:
        monkeypatch.setenv("PREFECT_API_URL", server.url)
        assert run(command) == 1
    kind, field, message = error_of(capsys)
    assert (kind, field) == ("permanent", "PREFECT_API_URL")
    assert "answers, but it is no Prefect API" in message


@pytest.mark.parametrize("skipped", [None, "2027-03-28T02:30"])
def test_deploy_says_which_run_clocks_skip(skipped: str | None) -> None:
    nightly: dict[str, Any] = {
        "config": "demo",
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "next": [],
        "skipped": skipped,
    }
    told = deploy_text(
        {
            "pool": "mtl",
            "deployments": [],
            "limit": "device-local",
            "automations": [],
            "nightly": nightly,
            "first": True,
            "renamed": {},
            "changes": [],
            "warnings": [],
        }
    )
    line = "clocks skip 02:30 on 2027-03-28: Prefect runs it an hour earlier or later that night"
    assert (line in told) == (skipped is not None)
