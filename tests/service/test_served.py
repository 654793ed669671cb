"""The server in `mtl status` and `mtl doctor`: what it says, what it served, and what a person should look at."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run
from mtl.doctor.result import guarded
from mtl.doctor.server import server
from mtl.errors import InputError
from mtl.release.journal import Change, journal_log
from mtl.service.served import server_warnings
from mtl.settings.service import serve_url
from mtl.store.folder import FolderStore
from mtl.traffic.records import ServedCounts
from mtl.traffic.store import write_counts
from tests.support.http import Answer, serving

MODEL = "mtl-flan-t5"
FAULT = {"kind": "damage", "message": "releases/mtl-flan-t5/v3/adapter.safetensors is damaged", "version": 3}


def health(version: int | None, **more: Any) -> dict[str, Answer]:
    said = {"model": MODEL, "version": version, "seq": version, "since": "2026-11-27T20:00:00+00:00", "fault": None}
    return {"/health": Answer(body=json.dumps(said | more).encode()), "/v1/generate": Answer(401)}


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    """The champion is v3, for two hours."""
    for name in list(os.environ):
        if name.startswith(("MTL_", "MLFLOW_", "PREFECT_API")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    store = FolderStore(tmp_path / "store")
    at = (datetime.now(UTC) - timedelta(hours=2)).isoformat(timespec="seconds")
    change = Change("promote", 3, 2, None, "better", "ann", at, False, "0" * 64)
    journal_log(store, MODEL).append(1, change.to_dict())
    return store


def status(capsys: pytest.CaptureFixture[str]) -> Any:
    assert run(["status", "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_server_and_what_it_served_are_shown(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = [
        ServedCounts(2, requests=7),
        ServedCounts(3, requests=120, errors=2, checked=40, unusable=4, good=5, bad=1),
    ]
    write_counts(store, MODEL, "one", datetime.now(UTC), counts)
    write_counts(store, MODEL, "one", datetime.now(UTC) - timedelta(hours=3), counts)
    with serving(health(3, log=False)) as server:
        monkeypatch.setenv("MTL_SERVE_URL", f"{server.url}/")
        document = status(capsys)
        assert run(["status"]) == 0
    assert document["services"]["server"] == "ok"
    assert document["addresses"]["server"] == server.url
    assert (document["server"]["version"], document["server"]["fault"]) == (3, None)
    assert [(its["version"], its["requests"]) for its in document["served"]["versions"]] == [(3, 120), (2, 7)]
    assert not [line for line in document["warnings"] if "server" in line]
    text = capsys.readouterr().out
    assert "server     mtl-flan-t5 v3  since 2026-11-27" in text
    assert "request log off" in text
    assert "120 texts, 2 failed, 0 refused, 0 malformed  4 of 40 checked unusable  feedback 5 good, 1 bad" in text


def test_without_a_server_nothing_is_asked_and_nothing_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    document = status(capsys)
    assert document["server"] is None
    assert document["served"]["versions"] == []
    assert set(document["services"]) == {"store", "prefect", "mlflow"}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (health(2), "the server answers with v2, and v3 has been champion for 120 minutes: does it follow"),
        (health(None), "the server answers with nothing, and v3 has been champion for 120 minutes"),
        (
            health(2, fault=FAULT),
            f"the server cannot follow the champion v3, and answers with v2: {FAULT['message']}",
        ),
        ({"/health": Answer(body=b"OK")}, "server: {url}/health is not that of mtl serve (200); MTL_SERVE_URL is"),
    ],
)
def test_what_a_person_should_look_at(
    answers: dict[str, Answer], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(answers) as server:
        monkeypatch.setenv("MTL_SERVE_URL", server.url)
        warnings = status(capsys)["warnings"]
    assert [line for line in warnings if line.startswith(said.format(url=server.url))]


def test_a_server_that_switches_is_left_a_minute_and_another_model_is_none_of_ours() -> None:
    champion = {"version": 3, "since": (datetime.now(UTC) - timedelta(seconds=20)).isoformat()}
    server = {"model": MODEL, "version": 2, "fault": None}
    assert list(server_warnings(server, champion, model=MODEL)) == []
    old = champion | {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
    assert len(list(server_warnings(server, old, model=MODEL))) == 1
    assert list(server_warnings(server | {"model": "other"}, old, model=MODEL)) == []
    waits = {"model": MODEL, "version": None, "fault": {"kind": "not-found", "message": "no champion yet"}}
    assert list(server_warnings(waits, {"version": None}, model=MODEL)) == []


def test_the_doctor_asks_it_too() -> None:
    with serving(health(3)) as found:
        results = list(guarded("server", lambda: server(found.url)))
        assert [asked.body for asked in found.asked if asked.path == "/v1/generate"] == [b"{}"]
    assert [(result.level, result.detail) for result in results] == [
        ("ok", f"{found.url}: mtl-flan-t5, answers with v3"),
        ("ok", "asks for the key (401 without)"),
    ]
    with serving(health(2, fault=FAULT) | {"/v1/generate": Answer(422)}) as found:
        _, broken, open_to_all = guarded("server", lambda: server(found.url))
    assert (broken.level, broken.detail) == ("warning", f"cannot follow the champion: {FAULT['message']}")
    assert (open_to_all.level, open_to_all.do) == (
        "warning",
        "set MTL_SERVE_KEY on the server; mtl stack up does so",
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    (gone,) = guarded("server", lambda: server(url))
    assert gone.level == "warning"  # a retrain needs no server
    assert f"mtl serve does not answer at {url}" in gone.detail
    assert list(server(None)) == []


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="MTL_SERVE_URL is no address"):
        serve_url({"MTL_SERVE_URL": "localhost:5002"})
