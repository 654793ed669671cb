"""Revisions of database tables that the installed MLflow and Prefect know, read from their migrations' files.

Importing either takes seconds.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from mtl.errors import PermanentError
from mtl.sqlite import read_only

_FOLDERS = {
    "mlflow": ("store/db_migrations", "versions"),
    "prefect": ("server/database/_migrations", "versions/sqlite"),
    "prefect on PostgreSQL": ("server/database/_migrations", "versions/postgresql"),
}
_NAMES = {"mlflow": "MLflow", "prefect": "Prefect"}
Program = Literal["mlflow", "prefect", "prefect on PostgreSQL"]


@dataclass(frozen=True, slots=True)
class Revisions:
    """head: what the installed version expects. known: that and all before it."""

    head: str
    known: frozenset[str]


@cache
def revisions(program: Program) -> Revisions:
    """Of the installed version."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    spec = find_spec(program.partition(" ")[0])
    assert spec is not None and spec.origin is not None
    scripts, versions = _FOLDERS[program]
    folder = Path(spec.origin).parent / scripts
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("version_locations", str(folder / versions).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    known = frozenset(revision.revision for revision in script.walk_revisions())
    return Revisions(script.get_current_head() or "", known)


def revision_of(path: Path) -> str | None:
    """Revision of the tables in the file of an embedded Prefect, as Alembic reads it; None for no tables.

    Prefect itself tells it only of a database that it has opened as its own, and opening upgrades it.
    Errors: PermanentError for a file that is no database.
    """
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DatabaseError

    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(read_only(path), uri=True))
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DatabaseError as error:
        raise PermanentError(
            f"{path} is no whole database ({error.orig})",
            hint="move it away: it holds the history of embedded runs only; models and releases are elsewhere",
        ) from None
    finally:
        engine.dispose()


def check_not_newer(program: Program, found: str, *, where: str) -> None:
    """Errors: PermanentError for tables of a newer version, which no upgrade helps."""
    if found in revisions(program).known:
        return
    package = program.partition(" ")[0]
    raise PermanentError(
        f"{where} has tables of a newer {_NAMES[package]} than {metadata.version(package)}: revision {found}",
        hint=f"install the {package} that made them or a newer one, or restore the backup from before the upgrade",
    )
