"""A database lies where its path says, whatever that is, and nowhere else."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from mtl.sqlite import database_path, database_url, read_only
from tests.support.paths import STRANGE


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE)
def test_a_database_is_made_and_read_at_its_path(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "some.db"
    path.parent.mkdir()
    engine = sqlalchemy.create_engine(database_url(path))
    with engine.begin() as made:
        made.execute(sqlalchemy.text("create table kept (x)"))
    engine.dispose()
    assert [found.name for found in tmp_path.iterdir()] == [name]
    assert database_path(database_url(path)) == path
    with closing(sqlite3.connect(read_only(path), uri=True)) as database:
        assert database.execute("select name from sqlite_master").fetchall() == [("kept",)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            database.execute("drop table kept")


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        sqlite3.connect(read_only(tmp_path / "none.db"), uri=True)
    assert not list(tmp_path.iterdir())


def test_the_usual_address_stays_as_it_is() -> None:
    assert database_url(Path("/srv/my data/é.db")) == "sqlite:////srv/my data/é.db"
    assert database_url(Path("/srv/x.db"), driver="aiosqlite") == "sqlite+aiosqlite:////srv/x.db"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////srv/x.db?timeout=5", "/srv/x.db"),
        ("sqlite:///x.db", "x.db"),
        ("sqlite+pysqlite:////srv/x.db", "/srv/x.db"),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("postgresql://u:p@h/sqlite:///x.db", None),
        ("http://h/x.db", None),
    ],
)
def test_the_file_of_an_address_that_a_person_wrote(url: str, path: str | None) -> None:
    assert database_path(url) == (Path(path) if path else None)
