"""`mtl repair-journal`: what a person does when an entry of the journal is lost, on a real MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run
from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.release.promote import promote
from mtl.store.folder import FolderStore
from tests.release.toy import MODEL, publish_toy
from tests.support.mlflow_db import fresh_tracking

Mtl = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowRegistry:
    """v1, then v2 as champion, and the newest entry of the journal lost."""
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    store, tracking = FolderStore(tmp_path / "store"), fresh_tracking(tmp_path)
    registry = MlflowRegistry(tracking, MODEL)
    tracking.client.create_registered_model(MODEL)
    for version, expected in ((1, None), (2, 1)):
        publish_toy(store, tmp_path / "made", version)
        tracking.client.create_model_version(MODEL, f"file://{tmp_path}", await_creation_for=0)
        promote(store, version, model=MODEL, expected=expected, reason="better", actor="gate", aliases=registry)
    store.delete(f"releases/{MODEL}/log/000000000002.json")
    store.delete(f"releases/{MODEL}/last-entry.json")  # as of a journal from before there was one
    return registry


@pytest.fixture
def mtl(capsys: pytest.CaptureFixture[str]) -> Mtl:
    def call(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = run([*arguments, "--name", MODEL, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return call


def test_a_lost_newest_entry_is_refused_and_filled_in(registry: MlflowRegistry, mtl: Mtl) -> None:
    for command in (["rollback"], ["reconcile"], ["promote", "1", "--force", "x"]):
        code, said = mtl(*command)
        assert (code, said["error"]["kind"]) == (1, "damage")
        assert "000000000002.json is lost: the journal ends with entry 1, and MLflow's tag" in said["error"]["message"]
        assert "mtl repair-journal" in said["error"]["hint"]
    assert registry.aliases() == {"champion": 2, "previous": 1}
    code, said = mtl("repair-journal", "--reason", "a disk died")
    assert (code, said["error"]["field"]) == (2, "champion")
    code, said = mtl("repair-journal", "--reason", "a disk died", "--champion", "two")
    assert (code, said["error"]["message"]) == (2, "'two' is no version")
    code, said = mtl("repair-journal", "--reason", "a disk died", "--champion", "v2")
    assert (code, said["champion"], said["previous"], [entry["seq"] for entry in said["filled_in"]]) == (0, 2, 1, [2])
    assert mtl("reconcile")[1]["adopted"] is None
    assert mtl("rollback")[1]["champion"] == 1
    assert registry.aliases() == {"champion": 1}


def test_it_reads_well(registry: MlflowRegistry, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["repair-journal", "--reason", "a disk died", "--champion", "1", "--name", MODEL]) == 0
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "entry 2: promote to v1",
        "alias champion set to 1",
        "alias previous set to nothing",
        "toy: champion v1",
    ]
