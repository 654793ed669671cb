"""check-data finds drift, tells of it once, and starts one retrain for one drift."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from mlflow import MlflowClient
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.check_data import check_data
from flows.evaluate_champion import evaluate_champion
from tests.flows.test_events import seen, texts
from tests.pipeline.test_drift import other_articles
from tests.support.drifting import MODEL, Drifting, drifting
from tests.support.http import Server, serving
from tests.support.trained import trained_model

pytestmark = pytest.mark.slow


@flow(name="retrain-of-drift")
def retrained(config: dict[str, Any]) -> None:
    """Stands where a deployment starts runs; nobody executes them."""


@pytest.fixture
def deployment() -> str:
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(retrained), "nightly")
    return "retrain-of-drift/nightly"


@pytest.fixture
def told() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def house(tmp_path: Path, told: Server, monkeypatch: pytest.MonkeyPatch) -> Drifting:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MTL_NOTIFY_SLACK", f"{told.url}/hook")
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return drifting(tmp_path, articles_of=120, passages_of=20, retrain_on_drift=True)


def test_a_drift_is_told_once_and_starts_one_retrain(house: Drifting, told: Server, deployment: str) -> None:
    house.prepare(summarize=other_articles(60))
    one, two = (check_data(house.config, min_change=0.9, deployment=deployment) for _ in range(2))
    (alarm,) = one["drift"]
    assert (alarm["what"], alarm["task"]) == ("new rows", "summarize")
    assert one["started"] == two["started"] is not None
    (text,) = texts(told)
    assert text.startswith(f"{MODEL}: summarize: the new rows differ from the data that v1 was trained on")
    (event,) = seen("mtl.data.drifted", MODEL)
    assert event["payload"]["page"].endswith("/page.html")
    assert not any(word in json.dumps(event) for word in ("brenter", "grzegorz")), "nothing of any text"
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(one["started"]))
        assert run.parameters["config"]["watch"]["retrain_on_drift"] is True
        shown = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["drift"])))
    assert "# Drift: new rows of summarize" in str(shown[0].data)
    assert f"/{event['payload']['page']}`" in str(shown[0].data)


def test_without_the_switch_it_is_told_and_nothing_is_started(house: Drifting, deployment: str) -> None:
    house.prepare(summarize=other_articles(60))
    watch = house.config.watch.model_copy(update={"retrain_on_drift": False})
    found = check_data(house.config.model_copy(update={"watch": watch}), min_change=0.9, deployment=deployment)
    assert (len(found["drift"]), found["started"]) == (1, None)


def test_the_weekly_evaluation_tells_of_drift_and_does_not_fail_by_it(
    tmp_path: Path, told: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MTL_NOTIFY_SLACK", f"{told.url}/hook")
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    adapter = trained_model(tmp_path / "adapter", base="demo")
    house = drifting(tmp_path, articles_of=120, passages_of=60, adapter=adapter)
    house.prepare(summarize=other_articles(60))
    client = MlflowClient(tracking_uri=house.workspace.settings.tracking_uri)
    client.create_registered_model(MODEL)
    client.create_model_version(MODEL, source=str(adapter))
    client.set_registered_model_alias(MODEL, "champion", "1")
    state = evaluate_champion(house.config, max_drop=1.0, return_state=True)
    assert state.is_completed(), state.message
    (text,) = texts(told)
    assert "summarize: the new rows differ from the data that v1 was trained on" in text


def test_data_that_changed_enough_start_their_own_run(house: Drifting, deployment: str) -> None:
    house.prepare(summarize=other_articles(60))
    found = check_data(house.config, min_change=0.05, deployment=deployment)
    assert found["started"] and found["drift"]
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(UUID(found["started"])).idempotency_key == f"data-{found['dataset']}"
