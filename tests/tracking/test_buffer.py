"""Metrics survive MLflow's absence, kills and resumes, and no step is ever doubled."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mtl.errors import TransientError
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.tracking.buffer import MetricBuffer
from tests.support.mlflow_db import fresh_tracking


@pytest.fixture
def tracking(tmp_path: Path) -> MlflowTracker:
    return fresh_tracking(tmp_path)


def history(tracking: MlflowTracker, run: str, name: str = "loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in tracking.client.get_metric_history(run, name)]


def test_flush_sends_each_step_once(tracking: MlflowTracker, tmp_path: Path) -> None:
    run = tracking.run_for("a1", experiment="e")
    buffer = MetricBuffer(tmp_path / "work" / "metrics.jsonl")
    buffer.append(10, {"loss": 2.0, "loss/mcq": 3.0})
    assert buffer.flush(tracking, run) == 2
    buffer.append(20, {"loss": 1.0})
    assert (buffer.flush(tracking, run), buffer.flush(tracking, run)) == (1, 0)
    assert history(tracking, run) == [(10, 2.0), (20, 1.0)]


def test_a_resumed_process_repeats_steps_and_doubles_none(tracking: MlflowTracker, tmp_path: Path) -> None:
    run = tracking.run_for("a1", experiment="e")
    path = tmp_path / "metrics.jsonl"
    first = MetricBuffer(path)
    first.append(10, {"loss": 2.0})
    first.flush(tracking, run)
    first.append(20, {"loss": 1.0})
    resumed = MetricBuffer(path)
    resumed.append(20, {"loss": 1.0})
    resumed.append(30, {"loss": 0.5})
    resumed.flush(tracking, run)
    assert history(tracking, run) == [(10, 2.0), (20, 1.0), (30, 0.5)]


def test_another_machine_without_the_file_doubles_none(tracking: MlflowTracker, tmp_path: Path) -> None:
    run = tracking.run_for("a1", experiment="e")
    for machine in ("one", "two"):
        buffer = MetricBuffer(tmp_path / machine / "metrics.jsonl")
        buffer.append(10, {"loss": 2.0})
        buffer.flush(tracking, run)
    assert history(tracking, run) == [(10, 2.0)]


def test_values_wait_while_mlflow_is_away(
    tracking: MlflowTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = tracking.run_for("a1", experiment="e")
    buffer = MetricBuffer(tmp_path / "metrics.jsonl")
    buffer.append(10, {"loss": 2.0})
    with pytest.raises(TransientError):
        buffer.flush(MlflowTracker("http://127.0.0.1:9"), run)
    assert buffer.flush(tracking, run) == 1
    assert history(tracking, run) == [(10, 2.0)]


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    MetricBuffer(path).append(10, {"loss": 2.0})
    path.write_bytes(path.read_bytes() + b'{"step": 20, "va')
    buffer = MetricBuffer(path)
    buffer.append(20, {"loss": 1.0})
    assert len(buffer) == len(MetricBuffer(path)) == 2


def test_nan_and_infinity_come_back(tracking: MlflowTracker, tmp_path: Path) -> None:
    run = tracking.run_for("a1", experiment="e")
    MetricBuffer(tmp_path / "m.jsonl").append(1, {"loss": math.nan, "grad": math.inf})
    assert MetricBuffer(tmp_path / "m.jsonl").flush(tracking, run) == 2
    assert math.isnan(history(tracking, run)[0][1])


def test_a_line_that_rotted_is_left_out_with_a_warning(
    tracking: MlflowTracker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, path = tracking.run_for("a1", experiment="e"), tmp_path / "metrics.jsonl"
    buffer = MetricBuffer(path)
    for step in (1, 2, 3):
        buffer.append(step, {"loss": 0.5})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"0.5", b"0.6") + lines[2])
    again = MetricBuffer(path)
    assert len(again) == 2
    assert f"line 2 of {path} is damaged" in caplog.text
    again.append(2, {"loss": 0.5})  # measured again by a run that resumes
    assert MetricBuffer(path).flush(tracking, run) == 3
    assert tracking.logged_steps(run, "loss") == {1, 2, 3}


def test_lines_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "time": 5, "values": {"loss": 0.5, "grad": "nan"}}\n')
    assert len(MetricBuffer(path)) == 2
