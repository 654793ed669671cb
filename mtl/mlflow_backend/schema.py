"""The tables of an MLflow database: are they those that the installed MLflow expects, and how they come to be.

python -m mtl.mlflow_backend.schema upgrades the database whose address is on standard input.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

from mtl import progress
from mtl.mlflow_backend.faults import mlflow_errors
from mtl.sqlite import database_path, database_url
from mtl.store.scratch import scratch
from mtl.tracking.address import redact
from mtl.tracking.revisions import check_not_newer, revisions


def make_database(uri: str) -> None:
    """The SQLite file of `uri`, whole from the moment it is there, with the tables that this MLflow expects.

    Nothing is done for a server. Errors: PermanentError for tables of a newer MLflow.

    MLflow makes its tables by some fifty migrations in the file itself: two processes that do so at once, or one that
    is killed, leave a database that nothing opens any more.
    """
    path = database_path(uri)
    if path is None:
        return
    if path.exists():
        _check_opens(path)
        _bring_up_to_date(path)
        return
    from mlflow import MlflowClient

    with scratch(path.parent / f".{path.name}.made") as folder:  # and away with what makers that were killed left
        made = folder / path.name
        _check_opens(made)
        address = database_url(made)
        client: Any = MlflowClient(tracking_uri=address, registry_uri=address)
        client._tracking_client.store._dispose_engine()
        with contextlib.closing(sqlite3.connect(made)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(FileExistsError):  # somebody was faster, and theirs is whole too
            os.link(made, path)


def _bring_up_to_date(path: Path) -> None:
    """Upgrade the tables of an older MLflow; the file as it was is kept beside it, named by its revision.

    MLflow itself does so in the file, without a copy, or refuses, by what is lacking. Here a copy is upgraded, which
    then takes the place of the file's content in one transaction.
    """
    if _is_up_to_date(path):
        return
    with path.with_name(f".{path.name}.upgrade").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_up_to_date(path):
            return
        kept = path.with_name(f"{path.name}.{_revision(path)}")
        with scratch(path.parent / f".{path.name}.made") as folder:
            upgraded, aside = folder / path.name, folder / kept.name
            _copy(path, upgraded)
            upgrade(database_url(upgraded))
            _copy(path, aside)
            aside.replace(kept)
            _copy(upgraded, path)
        progress.report("mlflow", 1, 1, f"tables of {path} upgraded; {kept} is the file as it was")


def _is_up_to_date(path: Path) -> bool:
    """Also without any tables: MLflow makes them. Errors: PermanentError for tables of a newer MLflow."""
    found = _revision(path)
    if found is not None:
        check_not_newer("mlflow", found, where=str(path))
    return found in (None, revisions("mlflow").head)


def _revision(path: Path) -> str | None:
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as database:
        try:
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return str(row[0]) if row else None


def _copy(source: Path, target: Path) -> None:
    """The content of a database, whole, whoever else has it open."""
    with (
        contextlib.closing(sqlite3.connect(source, timeout=20)) as read,
        contextlib.closing(sqlite3.connect(target, timeout=20)) as written,
    ):
        read.backup(written)


def upgrade(uri: str) -> None:
    """Give a database the tables that this MLflow expects. Errors: TransientError or PermanentError."""
    from mlflow.store.db import utils
    from sqlalchemy import create_engine

    mlflow_db: Any = utils  # untyped; `mlflow db upgrade` does the same, with the password on its command line
    with mlflow_errors(f"upgrade {redact(uri)}"):
        engine = create_engine(uri)
        try:
            mlflow_db._upgrade_db(engine)
        finally:
            engine.dispose()


def _check_opens(path: Path) -> None:
    """Errors: sqlite3.Error at once, where MLflow would try for two minutes."""
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as database:
        database.execute("SELECT count(*) FROM sqlite_master").fetchall()


def schema(uri: str) -> tuple[str | None, str]:
    """(revision of the database, revision that this MLflow expects). None: there is no database yet.

    uri: of a database, not of a server. Errors: TransientError or PermanentError if it cannot be opened.
    """
    from mlflow.store.db import utils
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    from mtl.errors import TransientError

    mlflow_db: Any = utils  # untyped; it has no public name for this
    expected = revisions("mlflow").head
    path = database_path(uri)
    if path is not None and not path.exists():
        return None, expected
    with mlflow_errors(f"open {redact(uri)}"):
        engine = create_engine(uri)
        try:
            return mlflow_db._get_schema_version(engine), expected
        except SQLAlchemyError as error:
            raise TransientError(
                f"cannot open the database {redact(uri)}: {type(error).__name__}",
                field="MLFLOW_TRACKING_URI",
                hint="is it up, is it a database, and are user and password right?",
            ) from None
        finally:
            engine.dispose()


if __name__ == "__main__":
    upgrade(sys.stdin.read())
