"""A real MLflow on SQLite for each test: the tables are made once for a process, then the file is copied."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.sqlite import database_url


@cache
def _template() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mtl-mlflow-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    MlflowTracker(f"sqlite:///{folder / 'mlflow.db'}", artifact_root=str(folder / "artifacts")).experiment("unused")
    return folder / "mlflow.db"


def fresh_tracking(folder: Path) -> MlflowTracker:
    """MlflowTracker on an empty database and artifact folder of its own below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_template(), folder / "mlflow.db")
    return MlflowTracker(database_url(folder / "mlflow.db"), artifact_root=str(folder / "artifacts"))
