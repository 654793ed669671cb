"""Nights through the whole flow: the first is a full run, the next ones start from the champion."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.retrain import retrain
from mtl.cli.main import run as mtl
from mtl.cli.work import retrain_text
from mtl.pipeline.promote import promote_by_hand
from mtl.release.layout import read_manifest
from mtl.workspace import open_workspace
from tests.support.nights import night_config, write_night

MODEL = "mtl-flan-t5"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nights")


@pytest.fixture(autouse=True)
def home(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MTL_HOME", str(place / "home"))
    return place / "home"


@pytest.fixture(scope="module")
def nights(place: Path) -> list[dict[str, Any]]:
    """Three nights. The gate refuses every version, as the base is random; a person promotes the first."""
    config = night_config(place)
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(place / "home"))
        for night in (1, 2, 3):
            write_night(place / "news", night)
            found.append(retrain(config))
            if night == 1:
                promote_by_hand(open_workspace(), MODEL, "1", force="the first one")
    return found


def test_the_first_night_is_a_full_run_and_says_why(nights: list[dict[str, Any]]) -> None:
    assert nights[0]["start"] == {"parent": None, "reason": "There is no champion yet."}
    assert (nights[0]["train"]["max_steps"], nights[0]["train"].get("parent")) == (6, None)
    assert "\n  full run: There is no champion yet.\n" in retrain_text(nights[0])


def test_the_second_night_starts_from_the_champion(nights: list[dict[str, Any]], home: Path) -> None:
    first, second = nights[:2]
    parent = second["start"]["parent"]
    assert parent == second["train"]["parent"]
    assert (parent["version"], parent["adapter_sha256"]) == (1, first["train"]["adapter_sha256"])
    assert (parent["dataset"], parent["warm_starts"]) == (first["dataset"]["fingerprint"], 1)
    assert second["train"]["max_steps"] == second["train"]["steps"] == 4
    assert "  warm start from v1: " in retrain_text(second)
    assert second["decision"]["promoted"] is False, "the gate judges it like any other"


def test_after_a_refused_candidate_the_parent_is_still_the_champion(nights: list[dict[str, Any]]) -> None:
    assert nights[2]["start"]["parent"]["version"] == 1
    assert nights[2]["start"]["parent"]["warm_starts"] == 1
    assert nights[2]["train"]["identity"] != nights[1]["train"]["identity"]


def test_the_parent_is_stated_wherever_a_version_is(nights: list[dict[str, Any]], home: Path) -> None:
    workspace = open_workspace()
    folder = home / "store" / "releases" / MODEL / "v2"
    parent = read_manifest(workspace.store, MODEL, 2).facts.parent
    assert parent is not None and parent.to_dict() == nights[1]["start"]["parent"]
    assert f"| started from the adapter of | {parent} |" in (folder / "README.md").read_text()
    assert "started from" in (folder / "report.html").read_text()
    run = json.loads((folder / "provenance" / "run.json").read_text())
    assert run["parent"] == parent.to_dict()
    assert run["fields"]["parent.adapter_sha256"] == parent.adapter_sha256
    info = workspace.registry(MODEL).version(2)
    tags = workspace.tracker.run_tags(info.run_id)
    assert (tags["start"], tags["parent_version"]) == ("warm start from v1", "1")
    assert tags["start_reason"] == nights[1]["start"]["reason"]
    assert tags["parent_adapter_sha256"] == parent.adapter_sha256
    assert "parent" not in (folder.parent / "v1" / "manifest.json").read_text()
    assert "started from" not in (folder.parent / "v1" / "README.md").read_text()


def test_the_same_night_again_changes_nothing_even_if_its_version_became_champion(
    nights: list[dict[str, Any]], place: Path
) -> None:
    promote_by_hand(open_workspace(), MODEL, "3", force="a test")
    again = retrain(night_config(place))
    assert (again["unchanged"], again["version"], again["start"]) == (True, 3, nights[2]["start"])


def test_a_warm_version_is_reproduced_and_its_parent_is_needed(
    nights: list[dict[str, Any]], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mtl(["reproduce", "v2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["result"], found["differences"]) == ("bit-equal", [])
    adapter = home / "store" / "releases" / MODEL / "v1" / "adapter_model.safetensors"
    aside = adapter.rename(home / "aside")
    cached = [path.rename(home / "cached") for path in (home / "cache" / "parents").iterdir()]
    try:
        assert mtl(["reproduce", "v2", "--json"]) == 1
    finally:
        aside.rename(adapter)
        for path in cached:
            path.unlink()
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert "v1/adapter_model.safetensors is missing from the release" in error["message"]
    assert "the version started from v1 of mtl-flan-t5" in error["hint"]
