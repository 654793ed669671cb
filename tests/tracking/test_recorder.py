"""What is kept on disk of a run's metrics, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.errors import TransientError
from mtl.tracking.client import Tracking
from mtl.tracking.recorder import Recorder
from tests.support.mlflow_db import fresh_tracking


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
    def away() -> Tracking:
        raise TransientError("MLflow is away")

    recorder = Recorder(away, tmp_path / "metrics", experiment="e", params={})
    recorder.start("abc1")
    recorder.step(1, {"train/loss": 3.0})
    recorder.close(status="KILLED")
    assert [file.name for file in (tmp_path / "metrics").iterdir()] == ["abc1.jsonl"]
