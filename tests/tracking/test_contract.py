"""What every tracker must do: one suite on the in-memory tracker and on a real MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.tracking.base import NOTE, Point, Tracker
from mtl.tracking.buffer import MetricBuffer
from mtl.tracking.memory import MemoryTracker
from tests.support.mlflow_db import fresh_tracking


@pytest.fixture(params=["memory", "mlflow"])
def tracker(request: pytest.FixtureRequest, tmp_path: Path) -> Tracker:
    return MemoryTracker() if request.param == "memory" else fresh_tracking(tmp_path / "mlflow")


def test_an_identity_has_one_run_in_an_experiment(tracker: Tracker) -> None:
    assert tracker.find_run("a1", experiment="e") is None
    run = tracker.run_for("a1", experiment="e", tags={"who": "Ann"})
    assert tracker.run_for("a1", experiment="e") == tracker.find_run("a1", experiment="e") == run
    assert tracker.run_for("b1", experiment="e") != run != tracker.run_for("a1", experiment="other")
    assert tracker.run_tags(run)["who"] == "Ann"
    assert tracker.experiment_of(run) == tracker.experiment("e")
    tracker.check_experiment("e")
    tracker.check_experiment("none yet")


def test_a_finished_run_is_opened_again(tracker: Tracker) -> None:
    run = tracker.run_for("a1", experiment="e")
    tracker.finish(run)
    assert tracker.run_for("a1", experiment="e") == run


def test_a_description_that_is_there_is_not_written_over(tracker: Tracker) -> None:
    run = tracker.run_for("a1", experiment="e", tags={NOTE: "first"})
    tracker.run_for("a1", experiment="e", tags={NOTE: "second", "other": "new"})
    assert tracker.run_tags(run)[NOTE] == "first"
    assert tracker.run_tags(run)["other"] == "new"
    tracker.set_tags(run, {NOTE: "third", "empty": ""})
    assert tracker.run_tags(run)[NOTE] == "third" and "empty" not in tracker.run_tags(run)


def test_parameters_keep_their_first_value(tracker: Tracker) -> None:
    run = tracker.run_for("a1", experiment="e")
    assert tracker.log_params(run, {"train": {"max_steps": 4, "seed": 1}, "name": "x"}) == []
    assert tracker.log_params(run, {"train": {"max_steps": 5, "seed": 1}, "new": True}) == ["train.max_steps"]


def test_metrics_are_logged_once_however_often_they_are_sent(tracker: Tracker) -> None:
    run = tracker.run_for("a1", experiment="e")
    for _ in range(2):
        tracker.log_metrics(run, {"Gate/mcq": 0.5})
        tracker.log_points(run, [Point("loss", 2.0, 1000, 1), Point("loss", 1.0, 2000, 2)])
    assert tracker.logged_steps(run, "loss") == {1, 2} and tracker.logged_steps(run, "none") == set()
    assert tracker.history(run) == {"Gate/mcq": [(0, 0.5)], "loss": [(1, 2.0), (2, 1.0)]}


def test_a_buffer_sends_what_is_missing(tracker: Tracker, tmp_path: Path) -> None:
    run = tracker.run_for("a1", experiment="e")
    buffer = MetricBuffer(tmp_path / "metrics.jsonl")
    buffer.append(1, {"loss": 2.0})
    assert buffer.flush(tracker, run) == 1
    buffer.append(2, {"loss": 1.0})
    assert MetricBuffer(tmp_path / "metrics.jsonl").flush(tracker, run) == 1
    assert tracker.history(run) == {"loss": [(1, 2.0), (2, 1.0)]}


def test_data_sets_and_artifacts_may_be_sent_again(tracker: Tracker, tmp_path: Path) -> None:
    run = tracker.run_for("a1", experiment="e")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "manifest.json").write_text("{}")
    for _ in range(2):
        tracker.log_dataset(run, name="demo", fingerprint="f" * 64, uri="s3://b/datasets/f", profile={"rows": 1})
        tracker.log_folder(run, tmp_path / "pages", "dataset")
        tracker.log_text(run, "# Evaluation", "evaluation/report.md")
