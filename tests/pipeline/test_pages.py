"""What MLflow's pages say of a version and its run, in each state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run as command
from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.pipeline import pages, promote
from mtl.release.journal import Change, Journal
from mtl.store.folder import FolderStore
from mtl.workspace import open_workspace
from tests.release.toy import MODEL, publish_toy
from tests.support.mlflow_db import fresh_tracking

REASON = "mcq: counts_obeyed is better than the base's: 0.8424 against 0.0000 on 165 examples."
RUN = {"prefect_run": "red-fox", "prefect_run_url": "http://prefect/runs/flow-run/1", "mlflow.user": "Ann"}
AT = "2026-11-26T03:00:00+00:00"


def change(kind: str, version: int, replaced: int | None, *, by: str = "gate 3-1", forced: bool = False) -> Change:
    return Change(kind, version, None, replaced, "because", by, AT, forced, "0" * 64)  # type: ignore[arg-type]


def described(decision: str, *changes: Change, by: str = "gate") -> str:
    return pages.description(
        1,
        Journal(len(changes), changes),
        state=pages.state_words(1, decision, by),
        waits=decision == "waiting",
        reasons=[REASON],
        report="#/experiments/7/runs/r/artifacts/evaluation/report.html",
        release="s3://b/releases/m/v1",
        run=RUN,
    )


@pytest.mark.parametrize(
    ("decision", "by", "changes", "said"),
    [
        ("", "gate", [], "**v1 was not judged yet.** There is no champion yet."),
        ("waiting", "gate", [], "**v1 waits for a person's approval.** There is no champion yet."),
        ("reject", "gate", [change("promote", 2, None)], "**v1 was rejected by the gate.** The champion is v2."),
        ("refused", "Ann", [], "**v1 was refused by Ann.** There is no champion yet."),
        (
            "promote",
            "gate",
            [change("promote", 1, None)],
            "**v1 passed the gate.** It is champion since 2026-11-26 03:00:00 UTC, promoted by gate 3-1.",
        ),
        (  # who confirms it later did not make it champion
            "promote",
            "gate",
            [change("promote", 1, None), change("promote", 1, 1, by="Ann")],
            "**v1 passed the gate.** It is champion since 2026-11-26 03:00:00 UTC, promoted by gate 3-1.",
        ),
        (
            "forced",
            "Bob",
            [change("promote", 2, None), change("promote", 1, 2, by="Bob", forced=True)],
            "**v1 was promoted by force by Bob.** It is champion since 2026-11-26 03:00:00 UTC, promoted by force by "
            "Bob (because).",
        ),
        (
            "approved",
            "Ann",
            [change("promote", 1, None), change("promote", 2, 1)],
            "**v1 was approved by Ann.** It was champion from 2026-11-26 03:00:00 UTC to 2026-11-26 03:00:00 UTC. "
            "The champion is v2.",
        ),
        (
            "approved",
            "Ann",
            [change("promote", 2, None), change("promote", 1, 2), change("rollback", 2, 1, by="Bob")],
            "**v1 was approved by Ann.** It was rolled back on 2026-11-26 03:00:00 UTC by Bob: because. "
            "The champion is v2.",
        ),
    ],
)
def test_the_description_says_the_state_in_words(decision: str, by: str, changes: list[Change], said: str) -> None:
    text = described(decision, *changes, by=by)
    assert text.startswith(f"{said}\n\n")
    assert f"- {REASON}" in text
    assert "[Report](#/experiments/7/runs/r/artifacts/evaluation/report.html)" in text
    assert "release `s3://b/releases/m/v1` (`mtl pull v1 DEST`)" in text
    assert text.endswith("[Prefect run red-fox](http://prefect/runs/flow-run/1)")
    assert ("To approve or refuse it, open [Prefect run red-fox]" in text) == (decision == "waiting")


def test_names_and_reasons_are_no_markup() -> None:
    text = described("refused", by="[Ann](http://evil) <b>")
    assert "refused by \\[Ann\\](http://evil) &lt;b&gt;" in text


@pytest.fixture
def tracking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowTracker:
    """Two versions of a model in an MLflow, with their releases; the gate rejected the second one."""
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    monkeypatch.setenv("MTL_ACTOR", "Ann")
    tracking = fresh_tracking(tmp_path)
    tracking.client.create_registered_model(MODEL)
    for version, decision in ((1, "promote"), (2, "reject")):
        publish_toy(FolderStore(tmp_path / "store"), tmp_path / "made", version)
        run = tracking.run_for(f"{version:064}", experiment="retrain", tags=RUN)
        tags = {"decision": decision, "decision_reasons": f'["{REASON}"]', "decision_against": ""}
        tracking.client.create_model_version(MODEL, str(tmp_path), run, tags=tags)
        gate = "passed" if decision == "promote" else "rejected"
        MlflowRegistry(tracking, MODEL).set_tags(version, {"gate": gate})
    return tracking


def version(tracking: MlflowTracker, number: int) -> Any:
    return MlflowRegistry(tracking, MODEL).version(number)


def test_the_pages_follow_promotion_force_and_rollback(tracking: MlflowTracker) -> None:
    promote.promote_by_hand(open_workspace(), MODEL, "1", force=None)
    assert "**v1 passed the gate.** It is champion since" in version(tracking, 1).description
    assert command(["promote", "2", "--force", "it is needed today", "--name", MODEL]) == 0
    forced = version(tracking, 2)
    assert "promoted by force by Ann (it is needed today)." in forced.description
    assert {name: forced.tags[name] for name in ("gate", "promoted_by", "promoted_how", "promoted_reason")} == {
        "gate": "rejected",
        "promoted_by": "Ann",
        "promoted_how": "force",
        "promoted_reason": "it is needed today",
    }
    assert forced.tags["promoted_at"].endswith("+00:00")
    assert "It was champion from" in version(tracking, 1).description
    promote.roll_back(open_workspace(), MODEL, reason="worse letters", actor="Bob")
    assert "It was rolled back on" in version(tracking, 2).description
    assert "by Bob: worse letters. The champion is v1." in version(tracking, 2).description
    assert "by a rollback by Bob (worse letters)." in version(tracking, 1).description


def test_the_run_links_its_version_and_its_prefect_run(tracking: MlflowTracker) -> None:
    pages.refresh(open_workspace(), MODEL, 1)
    tags = tracking.run_tags(version(tracking, 1).run_id)
    assert f"[{MODEL} v1](#/models/{MODEL}/versions/1): v1 passed the gate." in tags["mlflow.note.content"]
    assert "[Prefect run red-fox](http://prefect/runs/flow-run/1)" in tags["mlflow.note.content"]
    assert "Started by Ann." in tags["mlflow.note.content"]


def test_what_a_person_wrote_around_it_stays(tracking: MlflowTracker) -> None:
    registry = MlflowRegistry(tracking, MODEL)
    registry.describe(1, "Seen by Cem.")
    pages.refresh(open_workspace(), MODEL, 1)
    first = registry.version(1).description
    assert first.endswith("\n\nSeen by Cem.")
    registry.describe(1, f"Mind the letters.\n\n{first}")
    promote.promote_by_hand(open_workspace(), MODEL, "1", force=None)
    text = registry.version(1).description
    assert text.startswith("Mind the letters.\n\n") and text.endswith("\n\nSeen by Cem.")
    assert "It is champion since" in text and text.count("passed the gate") == 1
    registry.describe(1, text + "x" * (5000 - len(text)))
    promote.promote_by_hand(open_workspace(), MODEL, "2", force="now")
    assert registry.version(1).description.endswith("xxx")


def test_a_moved_alias_reaches_the_pages_of_both_versions(tracking: MlflowTracker) -> None:
    promote.promote_by_hand(open_workspace(), MODEL, "1", force=None)
    MlflowRegistry(tracking, MODEL).set_alias("champion", 2)
    promote.follow_aliases(open_workspace(), MODEL, describe=True)
    assert "promoted by force by mlflow" in version(tracking, 2).description
    assert "It was champion from" in version(tracking, 1).description


def test_no_page_shows_an_empty_tag(tracking: MlflowTracker) -> None:
    registry = MlflowRegistry(tracking, MODEL)
    registry.set_tags(1, {"decision_against": "", "other": "", "kept": "yes"})
    assert "" not in registry.version(1).tags.values()
    assert registry.version(1).tags["kept"] == "yes"
    tracking.set_tags(registry.version(1).run_id, {"empty": ""})
    assert "" not in tracking.run_tags(registry.version(1).run_id).values()


def test_pages_that_cannot_be_written_stop_nobody(
    tracking: MlflowTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}")
    pages.refresh(open_workspace(), MODEL, 1)
    assert "MLflow's page of toy v1 was not brought up to date" in caplog.text
    pages.refresh(open_workspace(), MODEL, 99, None)
