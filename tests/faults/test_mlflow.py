"""MLflow down, hanging, locked or losing answers: the weights do not care, and nothing is doubled or lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtl.checkpoints.related import Lineage
from mtl.config.retrain import RetrainConfig
from mtl.errors import InputError, TransientError
from mtl.mlflow_backend.registry import MlflowRegistry
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.pipeline.evaluate import evaluate
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.pipeline.register import register
from mtl.pipeline.train import train as train_model
from mtl.settings import load_settings
from mtl.tracking import recorder as recording
from mtl.tracking.recorder import Recorder
from mtl.workspace import open_workspace
from tests.support.mlflow_server import MlflowServer
from tests.support.proxy import FaultProxy
from tests.support.trained import trained_model
from tests.support.trainers import Machine

FACTS = {"fingerprint": "f" * 64, "code_version": "1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    made = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield made
    made.kill()


@pytest.fixture
def up(server: MlflowServer) -> MlflowServer:
    """The server, running."""
    server.start()
    return server


def steps(tracking: MlflowTracker, run: str, metric: str = "train/loss") -> list[int]:
    return [point.step for point in tracking.client.get_metric_history(run, metric)]


def runs(tracking: MlflowTracker, identity: str, experiment: str = "e") -> list[str]:
    """Ids of all runs of an identity that are not deleted."""
    found = tracking.client.search_runs(
        [tracking.experiment(experiment)], filter_string=f"tags.identity = '{identity}'"
    )
    return [str(run.info.run_id) for run in found]


@pytest.mark.slow
def test_row_27_mlflow_is_down_during_training(
    machine: Machine, config: RetrainConfig, plain: str, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights unaffected; the metrics wait on disk and are sent at registration or at the next look, none doubled."""
    monkeypatch.setenv("MTL_HOME", str(machine.home))
    monkeypatch.delenv("MTL_STORE", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server.kill()
    prepared, trained = (
        prepare_dataset(open_workspace(), config),
        train_model(open_workspace(), config, machine.dataset),
    )
    assert trained.adapter_sha256 == plain
    evaluation = evaluate(open_workspace(), config, machine.dataset, trained)
    (kept,) = (machine.home / "metrics").iterdir()
    lines = kept.read_bytes()
    server.start()
    tracking = MlflowTracker(server.url)
    continued = replace(trained, bit_exact=False, continued_from=Lineage("a" * 64, 2, ("threads",)))
    for _ in range(2):
        registered = register(open_workspace(), config, prepared, continued, evaluation)
        (run,) = runs(tracking, trained.identity, config.register_.experiment)
        assert (registered.run_id, registered.version) == (run, 1)
        assert steps(tracking, run) == [1, 2, 3, 4, 5, 6]
        assert tracking.client.get_run(run).data.tags["bit_exact"] == "false"
    assert not kept.exists()
    kept.write_bytes(lines)
    other = config.model_copy(update={"register_": config.register_.model_copy(update={"experiment": "other"})})
    for _ in range(2):
        assert train_model(open_workspace(), other, machine.dataset) == trained  # found finished
        (run,) = runs(tracking, trained.identity, "other")
        assert steps(tracking, run) == [1, 2, 3, 4, 5, 6]
        assert tracking.client.get_run(run).info.status == "FINISHED"


@pytest.mark.slow
def test_a_deleted_experiment_stops_a_training_at_its_start(
    machine: Machine, config: RetrainConfig, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_HOME", str(machine.home))
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    tracking = MlflowTracker(load_settings().tracking_uri)
    experiment = tracking.experiment(config.register_.experiment)
    tracking.client.delete_experiment(experiment)
    with pytest.raises(InputError, match=f"was deleted in MLflow\n.*mlflow experiments restore -x {experiment}"):
        train_model(open_workspace(), config, machine.dataset)
    assert not (machine.home / "metrics").exists()
    tracking.client.restore_experiment(experiment)
    trained = train_model(open_workspace(), config, machine.dataset)
    assert trained.adapter_sha256 == plain
    assert runs(tracking, trained.identity, config.register_.experiment)


@pytest.mark.slow
def test_row_27_mlflow_dies_and_hangs_in_the_middle(
    up: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, started again, a black hole: no step waits long, and each is recorded once in the end."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    for pause in ("EVERY_SECONDS", "BACK_OFF_SECONDS"):
        monkeypatch.setattr(recording, pause, 0.0)
    with FaultProxy("127.0.0.1", up.port) as proxy:
        recorder = Recorder(lambda: MlflowTracker(proxy.url), tmp_path / "metrics", experiment="e", params={"a": 1})
        recorder.start("abc1")
        recorder.step(1, {"train/loss": 3.0})
        up.kill()
        for step in (2, 3):
            recorder.step(step, {"train/loss": 2.0})
        up.start()
        proxy.fail("black_hole", times=None)
        began = time.monotonic()
        recorder.step(4, {"train/loss": 1.0})
        assert time.monotonic() - began < 10
        proxy.heal()
        proxy.fail("lose_answer", times=1, containing=b"log-batch")
        recorder.close(status="KILLED")
        again = Recorder(lambda: MlflowTracker(proxy.url), tmp_path / "metrics", experiment="e", params={"a": 1})
        again.start("abc1")
        again.step(5, {"train/loss": 1.0})
        again.close(status="FINISHED")
    tracking = MlflowTracker(up.url)
    (run,) = runs(tracking, "abc1")
    assert steps(tracking, run) == [1, 2, 3, 4, 5]
    assert list((tmp_path / "metrics").iterdir()) == []


@pytest.mark.slow
def test_row_28_the_answer_to_a_create_is_lost(
    up: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = trained_model(tmp_path / "model")
    with FaultProxy("127.0.0.1", up.port) as proxy:
        lossy = MlflowTracker(proxy.url)
        lossy.experiment("e")
        proxy.fail("lose_answer", containing=b"runs/create")
        run = patiently(lambda: lossy.run_for("abc2", experiment="e"))
        proxy.fail("lose_answer", containing=b"model-versions/create")
        facts: dict[str, Any] = {"identity": "abc2", **FACTS}
        version = patiently(lambda: MlflowRegistry(lossy, "lossy").register(run, folder, **facts).version)
        assert proxy.injected == ["lose_answer"] * 2
    tracking = MlflowTracker(up.url)
    assert runs(tracking, "abc2") == [run]
    assert [found.version for found in MlflowRegistry(tracking, "lossy").versions()] == [version] == [1]


@pytest.mark.slow
def test_row_29_mlflow_is_down_at_registration(
    up: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told as passing, so that the step tries again; then there is one version, and nobody became champion."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = trained_model(tmp_path / "model")
    facts: dict[str, Any] = {"identity": "abc3", **FACTS}
    tracking = MlflowTracker(up.url)
    run = tracking.run_for("abc3", experiment="e")
    up.kill()
    with pytest.raises(TransientError):
        MlflowRegistry(tracking, "late").register(run, folder, **facts)
    up.start()
    registry = MlflowRegistry(tracking, "late")
    assert registry.register(run, folder, **facts).version == 1
    (version,) = registry.versions()
    assert "champion" not in version.aliases


def patiently(call: Callable[[], Any], tries: int = 5) -> Any:
    """As a step does: again while the fault is one that passes."""
    for _ in range(tries):
        try:
            return call()
        except TransientError:
            time.sleep(0.1)
    raise AssertionError("still failing")


def _write_for_ever(uri: str, run: str) -> None:
    tracking = MlflowTracker(uri)
    for step in range(10**6):
        tracking.log_metrics(run, {f"m{n}": float(step) for n in range(50)}, step=step)


@pytest.mark.slow
def test_row_34_sqlite_is_locked_or_its_writer_killed(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    uri = f"sqlite:///{database}"
    tracking = MlflowTracker(uri, artifact_root=str(tmp_path / "artifacts"))
    run = tracking.run_for("abc4", experiment="e")
    writer = multiprocessing.get_context("spawn").Process(target=_write_for_ever, args=(uri, run))
    writer.start()
    deadline = time.monotonic() + 120
    while not tracking.logged_steps(run, "m0") and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()
    whole = tracking.logged_steps(run, "m0")
    assert whole
    assert all(tracking.logged_steps(run, f"m{n}") == whole for n in (1, 25, 49))  # a batch is there whole or not
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    _lock(database, 2.0)
    tracking.log_metrics(run, {"after": 1.0}, step=1)
    assert tracking.logged_steps(run, "after") == {1}


def _lock(database: Path, seconds: float) -> None:
    """Keep the database locked for a while, from another connection."""
    locked = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            locked.set()
            time.sleep(seconds)
            connection.execute("ROLLBACK")

    threading.Thread(target=hold, daemon=True).start()
    assert locked.wait(10)
