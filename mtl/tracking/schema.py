"""schema: has the MLflow database the tables that the installed MLflow expects?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtl.tracking.faults import mlflow_errors, redact


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
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
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
