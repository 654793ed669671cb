"""Times and costs of steps add up over tries, and are kept with the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task

from flows import timing
from mtl.errors import InputError
from mtl.pipeline.outcome import record_times
from mtl.pipeline.records import RegisteredVersion
from mtl.settings.service import cost_per_hour
from mtl.workspace import open_workspace
from tests.support.mlflow_db import fresh_tracking


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MTL_COST_PER_HOUR", "3600")
    return tmp_path / "home"


def test_a_retried_step_counts_twice_and_the_flow_once(home: Path) -> None:
    tries: list[int] = []

    @task(retries=1)
    def step() -> None:
        with timing.timed("train"):
            tries.append(1)
            if len(tries) == 1:
                raise ValueError("once")

    @flow
    def run() -> dict[str, Any]:
        step()
        with timing.timed("gate"):
            pass
        found = timing.spent()
        timing.forget()
        return found

    found = run()
    assert list(found) == ["train", "gate"]
    assert found["train"]["tries"] == 2
    assert found["train"]["cost"] == pytest.approx(found["train"]["seconds"])
    assert list((home / "timings").iterdir()) == []


def test_without_a_rate_there_is_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTL_COST_PER_HOUR")

    @flow
    def run() -> dict[str, Any]:
        with timing.timed("gate"):
            pass
        return timing.spent()

    assert run()["gate"]["cost"] is None
    assert cost_per_hour({}) is None
    with pytest.raises(InputError, match="MTL_COST_PER_HOUR is 'much', no amount"):
        cost_per_hour({"MTL_COST_PER_HOUR": "much"})


def registered(run: str) -> RegisteredVersion:
    return RegisteredVersion(
        model="m",
        version=1,
        created=True,
        release="releases/m/v1",
        manifest_sha256="0" * 64,
        run_id=run,
        url=None,
        report="r.html",
        report_url="file:///r.html",
    )


def test_they_become_metrics_of_the_mlflow_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracking = fresh_tracking(tmp_path / "mlflow")
    run = tracking.run_for("a" * 64, experiment="mtl-retrain")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri)
    spent = {"train": {"seconds": 10.0, "tries": 1, "cost": 0.5}, "gate": {"seconds": 1.0, "tries": 1, "cost": 0.25}}
    record_times(open_workspace(), registered(run), spent)
    metrics = tracking.client.get_run(run).data.metrics
    assert metrics == {
        "seconds/train": 10.0,
        "seconds/gate": 1.0,
        "seconds/total": 11.0,
        "cost/train": 0.5,
        "cost/gate": 0.25,
        "cost/total": 0.75,
    }


def test_an_absent_mlflow_stops_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    record_times(open_workspace(), registered("x"), {"train": {"seconds": 1.0, "tries": 1, "cost": None}})
    assert "MLflow did not take the times of the steps" in caplog.text
