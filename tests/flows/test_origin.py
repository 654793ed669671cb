"""Who started a run, and what its MLflow run says of it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.schemas.objects import FlowRun

from flows import origin


def made(**fields: Any) -> FlowRun:
    return FlowRun(flow_id=uuid4(), **fields)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (made(auto_scheduled=True), "schedule of retrain/nightly"),
        (
            made(created_by={"id": uuid4(), "type": "SCHEDULE", "display_value": "nightly"}),
            "schedule of retrain/nightly",
        ),
        (made(created_by={"id": uuid4(), "type": "USER", "display_value": "Ann"}), "Ann"),
        (made(created_by={"id": uuid4(), "type": "AUTOMATION", "display_value": "new data"}), "automation new data"),
        (made(idempotency_key="data-abc"), "check-data/look-for-new-data: the data changed"),
        (made(idempotency_key="webhook-data-1"), "the webhook receiver"),
        (made(), "a person in Prefect (retrain/nightly)"),
    ],
)
def test_who_started_a_run_of_a_deployment(run: FlowRun, said: str) -> None:
    assert origin.starter(run, "retrain/nightly") == said


def test_a_run_at_the_command_line_was_started_by_the_person_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_ACTOR", "Ann")

    @flow(name="retrain")
    def retrain() -> dict[str, str]:
        return origin.tags()

    tags = retrain()
    assert (tags["mlflow.user"], tags["mlflow.source.name"]) == ("Ann", "mtl retrain")
    assert f"Prefect run {tags['prefect_run']}" in tags["mlflow.note.content"]
    assert "Started by Ann." in tags["mlflow.note.content"]
