"""Addresses of SQLite files. The path of one may hold characters that mean something in an address.

sqlite:////srv/100%/mlflow.db                                   as usual: only a ? ends the path
sqlite+pysqlite:///file:///srv/really%3F/mlflow.db?uri=true     a path with a ?, encoded

The second form names the driver, because MLflow makes the folder of an address that begins with sqlite:/// alone as if
nothing in it were encoded.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

_SCHEME = re.compile(r"sqlite(?:\+\w+)?:///")


def database_url(path: Path, *, driver: str | None = None) -> str:
    """SQLAlchemy's address of an SQLite file, for MLflow and Prefect."""
    place = path.absolute()
    if "?" in str(place):
        return f"sqlite+{driver or 'pysqlite'}:///{place.as_uri()}?uri=true"
    return f"sqlite+{driver}:///{place}" if driver else f"sqlite:///{place}"


def database_path(url: str) -> Path | None:
    """The file that an address of SQLAlchemy's means; None for one of another database, or in memory."""
    scheme = _SCHEME.match(url)
    name = url[scheme.end() :].partition("?")[0] if scheme else ""
    if name.startswith("file:"):
        name = unquote(urlsplit(name).path)
    return Path(name) if name and ":memory:" not in name else None


def read_only(path: Path) -> str:
    """For `sqlite3.connect(..., uri=True)`: nothing is written, and nothing is made."""
    return f"{path.absolute().as_uri()}?mode=ro"
