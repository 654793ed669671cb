"""Migrations: databases of other versions, damaged ones, and none yet."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mtl.doctor import databases
from mtl.doctor.result import CheckResult, guarded
from mtl.settings import PrefectSettings, Settings
from mtl.sqlite import database_url
from mtl.tracking.revisions import revisions
from tests.support.mlflow_db import fresh_tracking
from tests.support.paths import STRANGE


def mlflow(uri: str) -> CheckResult:
    (found,) = guarded(
        "mlflow", lambda: databases.mlflow(Settings(home=Path("unused"), store="unused", tracking_uri=uri, actor="me"))
    )
    return found


def prefect(home: Path) -> list[CheckResult]:
    return list(guarded("prefect", lambda: databases.prefect(PrefectSettings(home=home))))


def make_prefect(home: Path, revision: str) -> None:
    home.mkdir(exist_ok=True)
    with closing(sqlite3.connect(home / "prefect.db")) as database, database:
        database.execute("create table if not exists alembic_version (version_num text)")
        database.execute("delete from alembic_version")
        database.execute("insert into alembic_version values (?)", [revision])


def test_mlflow_tables_of_other_versions(tmp_path: Path) -> None:
    tracking = fresh_tracking(tmp_path)
    assert mlflow(tracking.uri).level == "ok"
    copy = tmp_path / "old.db"
    shutil.copyfile(tmp_path / "mlflow.db", copy)
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("update alembic_version set version_num = '451aebb31d03'")
    found = mlflow(f"sqlite:///{copy}")
    assert found.level == "warning"
    assert "has tables of an older MLflow, of revision 451aebb31d03; expected is" in found.detail
    assert "the next command upgrades them, and keeps the file as it is now" in (found.do or "")
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("update alembic_version set version_num = 'from-the-future'")
    found = mlflow(f"sqlite:///{copy}")
    assert found.level == "fault"
    assert "has tables of a newer MLflow than" in found.detail
    assert "install the mlflow that made them or a newer one, or restore the backup" in (found.do or "")


def test_a_database_that_is_not_there_yet_or_no_database(tmp_path: Path) -> None:
    assert "will be made on first use" in mlflow(f"sqlite:///{tmp_path}/none.db").detail
    (tmp_path / "text.db").write_text("no database at all " * 100)
    found = mlflow(f"sqlite:///{tmp_path}/text.db")
    assert found.level == "fault"
    assert "cannot open the database" in found.detail


def test_a_password_in_an_address_is_not_shown() -> None:
    found = mlflow("postgresql://mlflow:correct-horse@127.0.0.1:1/mlflow")
    assert found.level == "fault"
    assert "postgresql://***@127.0.0.1:1/mlflow" in found.detail
    assert "correct-horse" not in str(found)


def test_embedded_prefect_of_other_versions(tmp_path: Path) -> None:
    assert prefect(tmp_path) == []
    known = revisions("prefect")
    make_prefect(tmp_path, known.head)
    assert [found.level for found in prefect(tmp_path)] == ["ok"]
    older = sorted(known.known - {known.head})[0]
    make_prefect(tmp_path, older)
    assert [found.level for found in prefect(tmp_path)] == ["warning"]
    make_prefect(tmp_path, "from-the-future")
    (found,) = prefect(tmp_path)
    assert found.level == "fault"
    assert "of revision from-the-future, which this Prefect does not know" in found.detail


def test_a_damaged_prefect_database_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "prefect.db").write_text("not SQLite " * 100)
    (found,) = prefect(tmp_path)
    assert found.level == "fault"
    assert "is no whole database" in found.detail


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE)
def test_a_healthy_database_is_healthy_in_a_home_of_any_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    head = revisions("prefect").head
    make_prefect(home, head)
    assert [found.level for found in prefect(home)] == ["ok"]
    fresh_tracking(home)
    assert mlflow(database_url(home / "mlflow.db")).level == "ok"
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_a_deleted_experiment_is_a_fault_with_the_command_that_restores_it(tmp_path: Path) -> None:
    tracking = fresh_tracking(tmp_path)
    tracking.client.delete_experiment(tracking.experiment("gone"))
    settings = Settings(home=tmp_path, store="unused", tracking_uri=tracking.uri, actor="me")
    (found,) = guarded("mlflow", lambda: databases.experiment(settings, "gone"))
    assert (found.level, found.detail) == ("fault", "experiment 'gone' was deleted in MLflow")
    assert f"MLFLOW_TRACKING_URI={tracking.uri} mlflow experiments restore -x 2" in str(found.do)
    (found,) = guarded("mlflow", lambda: databases.experiment(settings, "new"))
    assert found.level == "ok"
    assert tracking.client.get_experiment_by_name("new") is None


def test_looking_for_an_experiment_makes_no_database_and_leaves_absence_to_another_check(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, store="unused", tracking_uri=database_url(tmp_path / "none.db"), actor="me")
    assert list(databases.experiment(settings, "e")) == []
    assert not list(tmp_path.iterdir())
    damaged = tmp_path / "text.db"
    damaged.write_text("no database at all " * 100)
    assert (
        list(
            databases.experiment(
                Settings(home=tmp_path, store="unused", tracking_uri=database_url(damaged), actor="me"), "e"
            )
        )
        == []
    )
