"""The tables of an MLflow database: are they those that the installed MLflow expects, and how they come to be."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from mtl.sqlite import database_path, database_url
from mtl.store.scratch import scratch
from mtl.tracking.address import redact
from mtl.tracking.faults import mlflow_errors


def make_database(uri: str) -> None:
    """The SQLite file of `uri`, whole from the moment it is there. Nothing to do for one that is there, or a server.

    MLflow makes its tables by some fifty migrations in the file itself: two processes that do so at once, or one that
    is killed, leave a database that nothing opens any more.
    """
    path = database_path(uri)
    if path is None:
        return
    if path.exists():
        _check_opens(path)
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
    expected = str(mlflow_db._get_latest_schema_revision())
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
