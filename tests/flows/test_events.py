"""Events reach a real Prefect server once, and people through a real HTTP server once."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL

from flows import events
from flows.retrain import retrain
from mtl.config.retrain import parse_config
from mtl.decision import Decision, DecisionState
from mtl.errors import TransientError
from mtl.pipeline.records import RegisteredVersion
from mtl.release.journal import Change, journal_log
from mtl.store.folder import FolderStore
from tests.support.http import Server, serving


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        monkeypatch.setenv("MTL_NOTIFY_SLACK", f"{server.url}/hook")
        yield server


def texts(server: Server) -> list[str]:
    return [json.loads(asked.body)["text"] for asked in server.asked]


def seen(name: str, model: str, *, at_least: int = 1) -> list[dict[str, Any]]:
    """Events of that name about a model, as the server has them."""
    wanted = {"event": {"name": [name]}, "resource": {"id": [f"mtl.model.{model}"]}}
    deadline = time.monotonic() + 30
    while True:
        answer = httpx.post(f"{PREFECT_API_URL.value()}/events/filter", json={"filter": wanted}).json()
        if len(answer["events"]) >= at_least or time.monotonic() > deadline:
            return list(answer["events"])
        time.sleep(0.2)


def change(version: int, replaced: int | None) -> dict[str, Any]:
    made = Change("promote", version, replaced, replaced, "better", "ann", "2026-11-23T01:02:03+00:00", False, "0" * 64)
    return made.to_dict()


def test_a_change_of_champion_is_told_once_whoever_made_it(told: Server, tmp_path: Path) -> None:
    log = journal_log(FolderStore(tmp_path / "home" / "store"), "told-once")

    @flow
    def somebody() -> None:
        events.champion_changed("told-once")

    somebody()
    assert texts(told) == []  # no champion yet
    log.append(1, change(1, None))
    somebody()
    somebody()
    assert texts(told) == ["told-once: champion is v1 (promote, instead of nothing)\nby ann: better"]
    log.append(2, change(2, 1))
    somebody()
    assert len(texts(told)) == 2
    log.append(3, change(2, 2))  # of mtl sign-journal, which changes nothing
    somebody()
    assert len(texts(told)) == 2
    found = seen("mtl.champion.changed", "told-once", at_least=2)
    assert sorted(event["payload"]["version"] for event in found) == [1, 2]


def test_refused_data_are_an_alarm(told: Server, tmp_path: Path) -> None:
    empty = tmp_path / "train.jsonl"
    empty.write_text("")
    config = parse_config(
        {
            "data": {"sources": [{"task": "mcq", "uri": str(empty)}]},
            "model": {"base": "demo"},
            "register": {"model": "no-data"},
        }
    )
    with pytest.raises(Exception, match="train"):
        retrain(config)
    (text,) = texts(told)
    assert text.startswith("no-data: train.jsonl is an empty file")
    (event,) = seen("mtl.data.alarm", "no-data")
    assert "train.jsonl is an empty file" in event["payload"]["text"]


def test_a_failed_run_is_told_without_its_secrets(told: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "s3cr3t-word")

    @flow(name="unlucky", on_failure=[events.run_ended_badly])
    def unlucky(model: str) -> None:
        raise TransientError("cannot reach db with s3cr3t-word")

    with pytest.raises(TransientError):
        unlucky("told-failed")
    (text,) = texts(told)
    assert "unlucky run " in text
    assert "cannot reach db with ***" in text
    (event,) = seen("mtl.run.failed", "told-failed")
    assert event["payload"]["state"] == "Failed"
    assert "s3cr3t-word" not in json.dumps(event)


def version(model: str, number: int) -> RegisteredVersion:
    return RegisteredVersion(
        model=model,
        version=number,
        created=True,
        release=f"releases/{model}/v{number}",
        manifest_sha256="0" * 64,
        run_id="r",
        url=None,
        report="r.html",
        report_url="http://report",
    )


def test_a_refused_candidate_is_told_with_the_reasons(told: Server) -> None:
    registered = version("told-refused", 4)
    decision = Decision(state=DecisionState.REJECT, reasons=("worse at <mcq>",), against=3)

    @flow
    def judged() -> None:
        events.candidate_refused(registered, decision)

    judged()
    judged()
    assert texts(told) == ["told-refused: v4 was rejected by the gate\n- worse at &lt;mcq&gt;\nhttp://report"]
    (event,) = seen("mtl.candidate.refused", "told-refused")
    assert event["payload"]["reasons"] == ["worse at <mcq>"]


def test_a_waiting_candidate_is_told_with_the_address_of_its_form_and_a_refusal_with_the_persons_name(
    told: Server,
) -> None:
    registered = version("told-waiting", 5)
    waiting = Decision(state=DecisionState.WAITING, reasons=("better at mcq",), against=3)
    refused = replace(waiting, state=DecisionState.REFUSED, by="Ann", reasons=("Refused by Ann: too short",))

    @flow
    def judged() -> None:
        events.candidate_waiting(registered, waiting, form="http://form")
        events.candidate_refused(registered, refused)

    judged()
    first, second = texts(told)
    assert first == "told-waiting: v5 waits for a person's approval\n- better at mcq\nhttp://form"
    assert second == "told-waiting: v5 was refused by Ann\n- Refused by Ann: too short\nhttp://report"


def test_what_is_wrong_with_the_news_does_not_stop_anybody(
    told: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MTL_NOTIFY_EVENTS", "champion.chnged")

    @flow
    def judged() -> str:
        events.data_alarm("told-nothing", "drift", key="1")
        return "goes on"

    assert judged() == "goes on"
    assert (
        "the event data.alarm could not be told: InputError: MTL_NOTIFY_EVENTS names 'champion.chnged'" in caplog.text
    )


def test_a_run_that_fails_because_the_store_is_away_is_told_all_the_same(
    told: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_STORE", "s3://bucket/mtl")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a secret key")
    monkeypatch.setattr("flows.events.PATIENCE", 0.2)

    @flow(name="homeless", on_failure=[events.run_ended_badly])
    def homeless(model: str) -> None:
        raise TransientError("S3 does not answer")

    with pytest.raises(TransientError):
        homeless("told-homeless")
    (text,) = texts(told)
    assert "S3 does not answer" in text
