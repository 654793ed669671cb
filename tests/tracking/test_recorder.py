"""The record of a training in MLflow, and what is kept on disk of it: what is deleted, and for how long that waits."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import pytest

from mtl.errors import InputError, TransientError
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.sqlite import database_url
from mtl.tracking import recorder as module
from mtl.tracking.recorder import Recorder
from tests.support.mlflow_db import fresh_tracking

IDENTITY = "0123456789abcdef" * 4


@pytest.fixture
def tracking(tmp_path: Path) -> MlflowTracker:
    return fresh_tracking(tmp_path)


def recorder(tracking: MlflowTracker, folder: Path) -> Recorder:
    return Recorder(lambda: tracking, folder, experiment="e", params={"a": 1})


def test_a_run_that_was_deleted_in_mid_training_is_recorded_again_as_a_whole(
    tracking: MlflowTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.0)
    training = recorder(tracking, tmp_path / "metrics")
    training.start(IDENTITY)
    for step in (1, 2):
        training.step(step, {"loss": 1 / step})
    deleted = str(tracking.find_run(IDENTITY, experiment="e"))
    tracking.client.delete_run(deleted)
    training.step(3, {"loss": 1 / 3})
    training.step(4, {"loss": 1 / 4})
    training.close(status="FINISHED")
    found = str(tracking.find_run(IDENTITY, experiment="e"))
    assert found != deleted
    assert [step for step, _ in tracking.history(found)["loss"]] == [1, 2, 3, 4]
    assert tracking.client.get_run(found).data.params == {"a": "1"}
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning == f"run {deleted} was deleted in MLflow; {found} has its metrics from the first step"


def test_a_deleted_experiment_is_refused_before_the_first_step(tracking: MlflowTracker, tmp_path: Path) -> None:
    recorder(tracking, tmp_path / "metrics").check()
    assert tracking.client.get_experiment_by_name("e") is None
    tracking.client.delete_experiment(tracking.experiment("e"))
    with pytest.raises(InputError, match="experiment 'e' was deleted in MLflow") as caught:
        recorder(tracking, tmp_path / "metrics").check()
    assert caught.value.field == "register.experiment"


def test_an_mlflow_that_is_away_is_no_reason_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    recorder(MlflowTracker("http://127.0.0.1:9"), tmp_path / "metrics").check()
    assert "MLflow could not be asked for experiment e" in caplog.text


@pytest.mark.slow
def test_the_hint_for_a_deleted_experiment_works_as_typed(tmp_path: Path) -> None:
    folder = tmp_path / "it's 100%?"
    folder.mkdir()
    tracking = MlflowTracker(database_url(folder / "mlflow.db"), artifact_root=folder.as_uri())
    tracking.client.delete_experiment(tracking.experiment("e"))
    with pytest.raises(InputError) as caught:
        tracking.experiment("e")
    command = str(caught.value.hint).partition("restore it: ")[2]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    subprocess.run(["sh", "-c", command], env=plain, cwd=tmp_path, check=True, timeout=240)
    assert tracking.experiment("e")
    assert [found.name for found in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize("status", ["FINISHED", "KILLED"])
def test_nothing_waits_on_disk_once_mlflow_has_it(tmp_path: Path, status: str) -> None:
    """Also of a run that was cancelled: no later try of it may ever come."""
    tracking = fresh_tracking(tmp_path)
    for step in (1, 2):
        recorder = Recorder(lambda: tracking, tmp_path / "metrics", experiment="e", params={})
        recorder.start("abc1")
        recorder.step(1, {"train/loss": 3.0})
        recorder.step(step, {"train/loss": 2.0})
        recorder.close(status=status)
        assert list((tmp_path / "metrics").iterdir()) == []
    (run,) = tracking.client.search_runs([tracking.experiment("e")])
    assert tracking.history(run.info.run_id) == {"train/loss": [(1, 3.0), (2, 2.0)]}


def test_what_mlflow_did_not_take_waits(tmp_path: Path) -> None:
    def away() -> MlflowTracker:
        raise TransientError("MLflow is away")

    recorder = Recorder(away, tmp_path / "metrics", experiment="e", params={})
    recorder.start("abc1")
    recorder.step(1, {"train/loss": 3.0})
    recorder.close(status="KILLED")
    assert [file.name for file in (tmp_path / "metrics").iterdir()] == ["abc1.jsonl"]
