"""What becomes of answers of MLflow that break off, of collisions of several writers, and of what is lacking."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import OperationalError

from mtl.errors import PermanentError, TransientError
from mtl.mlflow_backend.faults import PatientClient, mlflow_errors
from mtl.mlflow_backend.tracker import MlflowTracker
from tests.support.http import Answer, serving
from tests.support.mlflow_db import fresh_tracking
from tests.support.proxy import FaultProxy

LOCKED = MlflowException("(sqlite3.OperationalError) database is locked", error_code=TEMPORARILY_UNAVAILABLE)
RACED = MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed: t.x", error_code=BAD_REQUEST)
LOCKED_BELOW = OperationalError("x", {}, sqlite3.OperationalError("database is locked"))
FULL = MlflowException("(sqlite3.OperationalError) database or disk is full", error_code=TEMPORARILY_UNAVAILABLE)


class Client:
    """Fails with `errors` one after the other, then answers."""

    name = "a client"

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def get_run(self, run_id: str) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return f"run {run_id}"


@pytest.mark.parametrize("error", [LOCKED, RACED, LOCKED_BELOW])
def test_a_call_that_collided_is_made_again(error: Exception) -> None:
    client = Client(error, error)
    assert PatientClient(client).get_run("r") == "run r"
    assert client.calls == 3
    assert PatientClient(client).name == "a client"


def test_a_database_of_another_mlflow_is_not_tried_again() -> None:
    """MLflow gives it the code of a server that is away."""
    said = "Detected out-of-date database schema (found version 1, but expected 2)."
    with (
        pytest.raises(PermanentError, match=r"\n  back the database up, then: mlflow db upgrade"),
        mlflow_errors("open"),
    ):
        raise MlflowException(said)


def test_not_for_ever_and_not_for_another_fault() -> None:
    endless = Client(*[LOCKED] * 1000)
    with pytest.raises(TransientError, match="database is locked"), mlflow_errors("look"):
        PatientClient(endless, seconds=0.3).get_run("r")
    assert 1 < endless.calls < 20
    full = Client(*[FULL] * 10)
    with (
        pytest.raises(PermanentError, match=r"could not look: the disk is full \(.*\)\n  free space"),
        mlflow_errors("look"),
    ):
        PatientClient(full).get_run("r")
    assert full.calls == 1


def test_errors_of_the_database_itself_are_told_by_kind() -> None:
    for said, kind in (
        ("database is locked", TransientError),
        ("unable to open database file", PermanentError),
        ("attempt to write a readonly database", PermanentError),
        ("malformed", PermanentError),
    ):
        with pytest.raises(kind), mlflow_errors("open it"):
            raise sqlite3.OperationalError(said)
    with pytest.raises(TransientError), mlflow_errors("open it"):
        raise OperationalError("connect", {}, ConnectionRefusedError("connection refused"))


def test_many_writers_of_one_row_all_come_to_an_end(tmp_path: Path) -> None:
    """Real SQLite, real MLflow: each sets a tag that is not there yet, at the same moment."""
    first = fresh_tracking(tmp_path)
    first.client.create_registered_model("m")
    version = first.client.create_model_version("m", "s3://x/y", await_creation_for=0).version
    writers: list[Any] = [MlflowTracker(first.uri).client for _ in range(6)]
    together = threading.Barrier(len(writers))

    def work(writer: Any) -> None:
        for number in range(5):
            together.wait(30)
            writer.set_model_version_tag("m", version, f"tag{number}", "x")
            writer.set_registered_model_alias("m", f"alias{number}", version)

    with ThreadPoolExecutor(len(writers)) as pool:
        list(pool.map(work, writers))
    found = first.client.get_model_version("m", version)
    assert len(found.tags) == len(found.aliases) == 5


def test_a_database_that_cannot_be_opened_is_refused_at_once(tmp_path: Path) -> None:
    """MLflow itself tries for two minutes."""
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(PermanentError, match="a database could not be opened or written"):
        MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.mark.parametrize("kind", ["cut_body", "end_body", "stall_body"])
def test_a_body_that_breaks_can_be_tried_again(kind: str) -> None:
    """As MLflow downloads: it translates what happens up to the answer's head, and nothing behind it."""
    with serving({"*": Answer(body=bytes(10_000))}) as server:
        target = urlsplit(server.url)
        with FaultProxy(str(target.hostname), int(target.port or 0)) as proxy:
            proxy.fail(kind, after=100)
            with (
                pytest.raises(TransientError, match="could not download an artifact"),
                mlflow_errors("download an artifact"),
                requests.get(proxy.url, stream=True, timeout=0.5) as answer,
            ):
                list(answer.iter_content(1000))
