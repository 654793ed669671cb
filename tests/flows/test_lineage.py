"""The OpenLineage events of runs that fail; those of a run that ends well are in test_retrain."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from flows.retrain import retrain
from flows.short import retrain_short
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.errors import DataError
from tests.support.http import Answer, serving
from tests.support.lineage import check_event


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def refused(tmp_path: Path) -> RetrainConfig:
    """A configuration whose data are refused at once."""
    empty = tmp_path / "train.jsonl"
    empty.write_text("")
    return parse_config(
        {"name": "empty", "data": {"sources": [{"task": "mcq", "uri": str(empty)}]}, "model": {"base": "demo"}}
    )


def test_a_run_that_fails_says_start_and_fail(refused: RetrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server, pytest.raises(DataError, match="is an empty file"):
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "ours")
        retrain(refused)
    start, fail = (json.loads(asked.body) for asked in server.asked)
    for event in (start, fail):
        check_event(event)
        assert (event["job"]["namespace"], event["job"]["name"]) == ("ours", "retrain.empty")
    assert (start["eventType"], fail["eventType"]) == ("START", "FAIL")
    assert start["run"]["runId"] == fail["run"]["runId"]
    assert "train.jsonl is an empty file" in fail["run"]["facets"]["errorMessage"]["message"]


def test_the_short_form_says_the_same_of_the_configuration_that_it_names(
    refused: RetrainConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(json.dumps(refused.model_dump(mode="json", by_alias=True)))
    with serving() as server, pytest.raises(DataError):
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        retrain_short(str(tmp_path / "mine.yaml"))
    events = [json.loads(asked.body) for asked in server.asked]
    assert [(event["eventType"], event["job"]["name"]) for event in events] == [
        ("START", "retrain.empty"),
        ("FAIL", "retrain.empty"),
    ]


def test_an_endpoint_that_fails_changes_nothing_but_a_warning(
    refused: RetrainConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving({"*": Answer(500)}) as server, caplog.at_level(logging.WARNING, "mtl"):
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", server.url)
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__RETRY", '{"total": 0}')
        with pytest.raises(DataError, match="is an empty file"):
            retrain(refused)
    assert len(server.asked) == 2
    assert caplog.text.count("the retrain goes on without its OpenLineage events") == 1
