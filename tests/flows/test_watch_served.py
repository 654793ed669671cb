"""The watch-served flow on a real store, journal, MLflow, Prefect server and webhook: it rolls back once, then asks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.watch_served import watch_served
from mtl.config.retrain import RetrainConfig, parse_config
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.pipeline.promote import promote_by_hand
from mtl.promotion.served import AUTOMATIC
from mtl.release.journal import Journal, read_journal
from mtl.release.promote import promote
from mtl.store.folder import FolderStore
from mtl.traffic.records import ServedCounts
from mtl.traffic.store import write_counts
from mtl.workspace import open_workspace
from tests.release.toy import MODEL, publish_toy
from tests.support.http import Server, serving
from tests.support.mlflow_db import fresh_tracking

GATE = "gate 5-0a1b2c3d"
GOOD = ServedCounts(1, requests=300, errors=2, refused=9, checked=100, unusable=10, good=40, bad=10)
WORSE = ServedCounts(2, requests=200, errors=2, refused=6, checked=80, unusable=50, good=30, bad=8)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Four released versions, v2 champion after v1, and what both of them served."""
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    tracking = fresh_tracking(tmp_path)
    tracking.client.create_registered_model(MODEL)
    for version in (1, 2, 3, 4):
        publish_toy(FolderStore(tmp_path / "store"), tmp_path / "made", version)
        _in_mlflow(tracking, tmp_path, version)
    for version in (1, 2):
        gate_promotes(version)
    serve(GOOD, hours_ago=3)
    serve(WORSE)
    with serving() as server:
        monkeypatch.setenv("MTL_NOTIFY_SLACK", f"{server.url}/hook")
        yield server


def _in_mlflow(tracking: MlflowTracker, folder: Path, version: int) -> None:
    run = tracking.run_for(f"{version:064}", experiment="retrain", tags={})
    tracking.client.create_model_version(MODEL, str(folder), run)


def gate_promotes(version: int, *, by: str = GATE) -> None:
    workspace = open_workspace()
    expected = read_journal(workspace.store, MODEL).champion
    promote(
        workspace.store,
        version,
        model=MODEL,
        expected=expected,
        reason="better on mcq",
        actor=by,
        aliases=workspace.registry(MODEL),
    )


def serve(counts: ServedCounts, *, hours_ago: int = 0) -> None:
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    write_counts(open_workspace().store, MODEL, f"server-{counts.version}", at, [counts])


def config(**rollback: Any) -> RetrainConfig:
    return parse_config(
        {
            "data": {"sources": [{"task": "mcq", "uri": "demo"}]},
            "register": {"model": MODEL},
            "watch": {"rollback": rollback},
        }
    )


def looked(config: RetrainConfig) -> Any:
    """What the flow says."""
    return watch_served(config)


def journal() -> Journal:
    return read_journal(open_workspace().store, MODEL)


def texts(server: Server) -> list[str]:
    return [json.loads(asked.body)["text"] for asked in server.asked]


def test_it_rolls_back_once_and_the_next_time_asks_a_person_once(told: Server) -> None:
    said = looked(config())
    assert said["outcome"] == "would-roll-back"
    assert said["reasons"][-1] == "watch.rollback.enabled is false, so nothing was done."
    assert (journal().champion, texts(told)) == (2, [])

    said = looked(config(enabled=True))
    assert said["outcome"] == "rolled-back"
    head = journal().head
    assert head is not None
    assert (head.kind, head.version, head.replaced, head.actor) == ("rollback", 1, 2, AUTOMATIC)
    assert head.reason.startswith(
        "v2 serves worse than v1 did. unusable: 50 of 80 checked answers were unusable (62.5%), and 10 of 100 before"
    )
    (text,) = texts(told)
    assert text.startswith(f"toy: champion is v1 (rollback, instead of v2)\nby {AUTOMATIC}: v2 serves worse than v1")
    assert open_workspace().registry(MODEL).aliases()["champion"] == 1

    # What came back is not judged, and when the gate promotes another bad version, nobody has looked meanwhile.
    assert looked(config(enabled=True))["outcome"] == "kept"
    gate_promotes(3)
    serve(ServedCounts(3, requests=200, errors=100))
    for _ in range(2):
        said = looked(config(enabled=True))
        assert said["outcome"] == "needs-person"
        assert said["reasons"][0].startswith("v2 was rolled back automatically on ")
    assert journal().champion == 3
    assert [line.splitlines()[0] for line in texts(told)[1:]] == [
        "toy: v3 serves worse, and is not rolled back without a person"
    ]

    # Ann confirms v3, which is then kept, and she is not asked again.
    promote_by_hand(open_workspace(), MODEL, "v3", force="the errors were those of a test", actor="Ann")
    head = journal().head
    assert head is not None
    assert (head.version, head.replaced, head.previous, head.actor) == (3, 3, 1, "Ann")
    said = looked(config(enabled=True))
    assert said["outcome"] == "needs-person"
    assert said["reasons"][0].startswith("v3 was confirmed by Ann on ")
    assert len(texts(told)) == 2

    # Her entry also lets the policy act again, about the next version that the gate promotes.
    gate_promotes(4)
    serve(ServedCounts(3, requests=200))
    serve(ServedCounts(4, requests=200, errors=100))
    assert looked(config(enabled=True))["outcome"] == "rolled-back"
    assert journal().champion == 3
