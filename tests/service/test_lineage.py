"""OpenLineage events, through its file transport and to a real HTTP server, and a server that fails."""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError

from mtl.service import lineage
from mtl.service import lineage_events as events
from tests.support.http import Answer, serving
from tests.support.lineage import check_event, read_events

RUN = "0198a4c2-1111-7000-8000-000000000001"
TRANSPORT = "OPENLINEAGE__TRANSPORT__"


@pytest.fixture(autouse=True)
def unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def event(state: str = "COMPLETE", **fields: Any) -> Any:
    return events.run_event(
        state,
        lineage.RunName(RUN, "ours", "retrain.demo"),
        prefect={"flowRunId": RUN, "flowRunName": "brave-owl", "url": None},
        **fields,
    )


def whole() -> Any:
    return event(
        mlflow={"runId": "5" * 32, "url": "http://mlflow/#/models/m/versions/1"},
        inputs=[
            events.source(task="mcq", uri="hub:ehovy/race", version="e" * 64, rows=12),
            events.source(task="summarize", uri="/data/news/*.jsonl", version="f" * 64, rows=5),
            events.base(name="google/flan-t5-base", version="7bcac572"),
        ],
        outputs=[events.release(store="s3://bucket/mtl", model="m", version=1, values={"decision": "promote"})],
    )


def test_nothing_is_sent_unless_openlineage_is_configured(tmp_path: Path) -> None:
    assert not lineage.is_configured({})
    assert not lineage.send(RUN, event)
    assert lineage.is_configured({"OPENLINEAGE_URL": "http://marquez"})
    assert lineage.is_configured({f"{TRANSPORT}TYPE": "file"})
    assert not lineage.is_configured({"OPENLINEAGE_URL": "http://marquez", "OPENLINEAGE_DISABLED": "True"})
    (tmp_path / ".openlineage").mkdir()
    (tmp_path / ".openlineage" / "openlineage.yml").write_text("transport: {type: noop}")
    assert lineage.is_configured({})


def test_a_file_gets_each_event_on_a_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    (tmp_path / "openlineage.yml").write_text(f"transport: {{type: file, log_file_path: {path}, append: true}}")
    assert lineage.send(RUN, lambda: event("START"))
    assert lineage.send(RUN, whole)
    start, complete = read_events(path)
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert complete["run"]["runId"] == RUN
    assert (complete["job"]["namespace"], complete["job"]["name"]) == ("ours", "retrain.demo")
    assert complete["producer"].startswith("urn:mtl-retrain:")
    facets = complete["run"]["facets"]
    assert facets["prefect"]["_producer"] == complete["producer"]
    assert (facets["prefect"]["flowRunId"], facets["mlflow"]["runId"]) == (RUN, "5" * 32)
    assert [(item["namespace"], item["name"]) for item in complete["inputs"]] == [
        ("https://huggingface.co", "ehovy/race"),
        ("file", "/data/news/*.jsonl"),
        ("https://huggingface.co", "google/flan-t5-base"),
    ]
    assert complete["inputs"][0]["facets"]["version"]["datasetVersion"] == "e" * 64
    assert complete["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == 12
    (output,) = complete["outputs"]
    assert (output["namespace"], output["name"]) == ("s3://bucket", "mtl/releases/m")
    assert output["facets"]["version"]["datasetVersion"] == "v1"


def test_a_server_gets_them_with_the_key_and_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "s3cr3t-word")
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "key-of-ours")
    with serving() as server:
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        failed = event(
            "FAIL", error="no db at pg://ann:s3cr3t-word@db", inputs=[events.source(task="t", uri="s3://a:b@c/d")]
        )
        assert lineage.send(RUN, lambda: failed)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/api/v1/lineage")
    assert asked.headers["authorization"] == "Bearer key-of-ours"
    sent = json.loads(asked.body)
    check_event(sent)
    assert sent["run"]["facets"]["errorMessage"]["message"] == "no db at pg://***@db"
    assert (sent["inputs"][0]["namespace"], sent["inputs"][0]["name"]) == ("s3://***@c", "d")


@pytest.mark.parametrize("url", ["refusing", "http://127.0.0.1:1", "no address"])
def test_what_cannot_be_sent_is_a_warning_once_a_run(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = str(uuid.uuid4())
    with serving({"*": Answer(403)}) as server, caplog.at_level(logging.WARNING, "mtl"):
        monkeypatch.setenv(f"{TRANSPORT}TYPE", "http")
        monkeypatch.setenv(f"{TRANSPORT}URL", server.url if url == "refusing" else url)
        monkeypatch.setenv(f"{TRANSPORT}RETRY", '{"total": 0}')
        assert not lineage.send(run, event)
        assert not lineage.send(run, event)
    (record,) = [record for record in caplog.records if record.name == "mtl.service.lineage"]
    assert record.getMessage().startswith("the retrain goes on without its OpenLineage events: ")


def test_an_event_that_cannot_be_made_is_a_warning_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(f"{TRANSPORT}TYPE", "noop")
    with caplog.at_level(logging.WARNING, "mtl"):
        assert not lineage.send("made-wrongly", lambda: event("LATE"))
    assert "KeyError: 'LATE'" in caplog.text


def test_the_check_itself_refuses_what_the_schema_refuses() -> None:
    from openlineage.client.serde import Serde

    sent = json.loads(Serde.to_json(whole()))
    check_event(sent)
    for broken in (
        {**sent, "eventType": "DONE"},
        {**sent, "run": {**sent["run"], "runId": "run-1"}},
        {**sent, "eventTime": "yesterday"},
    ):
        with pytest.raises(ValidationError):
            check_event(broken)


def test_a_configuration_that_is_not_there_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(tmp_path / "none.yml"))
    with caplog.at_level(logging.WARNING, "mtl"):
        assert not lineage.send(str(uuid.uuid4()), lambda: event("START"))
    assert "OPENLINEAGE_CONFIG names a file that is not there" in caplog.text


def test_a_file_keeps_its_whole_path() -> None:
    assert events.place("file:///data/rows.jsonl") == events.place("/data/rows.jsonl") == ("file", "/data/rows.jsonl")
