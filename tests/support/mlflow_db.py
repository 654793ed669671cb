"""A real MLflow on SQLite for each test: the tables are made once for a process, then the file is copied."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.sqlite import database_url

_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Removed when the process ends."""


@cache
def _template() -> Path:
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="mtl-mlflow-template-"))
    folder = Path(_FOLDERS[-1].name)
    MlflowTracker(f"sqlite:///{folder / 'mlflow.db'}", artifact_root=str(folder / "artifacts")).experiment("unused")
    return folder / "mlflow.db"


def fresh_tracking(folder: Path) -> MlflowTracker:
    """MlflowTracker on an empty database and artifact folder of its own below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(), folder / "mlflow.db")
    return MlflowTracker(database_url(folder / "mlflow.db"), artifact_root=str(folder / "artifacts"))
