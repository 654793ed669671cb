"""Databases of other versions of MLflow: an older one is upgraded and kept, a newer one is left alone and named."""

from __future__ import annotations

import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from mlflow.store.db import utils

from mtl.errors import PermanentError
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.tracking.revisions import revisions
from tests.support.mlflow_db import fresh_tracking

STEPS_BACK = 3


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A database that holds an experiment, with the tables of an older MLflow."""
    fresh_tracking(tmp_path).experiment("kept")
    path = tmp_path / "mlflow.db"
    command.downgrade(utils._get_alembic_config(f"sqlite:///{path}"), f"-{STEPS_BACK}")  # noqa: SLF001  # MLflow has no public way back
    assert revision(path) != revisions("mlflow").head
    return path


def revision(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        return str(database.execute("select version_num from alembic_version").fetchone()[0])


def experiments(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("select name from experiments")}


def test_an_older_database_is_upgraded_and_kept_as_it_was(older: Path) -> None:
    before, names = revision(older), experiments(older)
    tracking = MlflowTracker(f"sqlite:///{older}")
    assert tracking.experiment("kept")
    assert revision(older) == revisions("mlflow").head
    kept = older.with_name(f"mlflow.db.{before}")
    assert revision(kept) == before
    assert experiments(kept) == experiments(older) == names
    assert "kept" in names


def test_several_at_once_upgrade_it_once(older: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: MlflowTracker(f"sqlite:///{older}").experiment("kept"), range(3)))
    assert len(set(found)) == 1
    assert revision(older) == revisions("mlflow").head
    assert len(list(older.parent.glob("mlflow.db.*"))) == 1


def test_a_newer_database_is_left_as_it_is(tmp_path: Path) -> None:
    fresh_tracking(tmp_path)
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("update alembic_version set version_num = 'from-the-future'")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(PermanentError, match=r"tables of a newer MLflow than .*: revision from-the-future\n  install"):
        MlflowTracker(f"sqlite:///{path}")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("program", ["mlflow", "prefect", "prefect on PostgreSQL"])
def test_the_installed_programs_have_one_newest_revision_each(program: str) -> None:
    found = revisions(program)
    assert found.head in found.known
    assert len(found.known) > 10
