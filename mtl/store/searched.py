"""Which store was looked in: what a message about something missing must say beside it."""

from __future__ import annotations

from pathlib import Path

from mtl.settings import is_default_store
from mtl.store.base import ObjectStore
from mtl.store.folder import FolderStore
from mtl.store.probe import PROBE

_ROOTS = ("datasets", "releases", "run-names", "runs")
_SHOWN = 3
_HOW = 'set MTL_STORE if another is meant: a folder or s3://bucket/prefix (for the stack here: eval "$(mtl stack env)")'


def searched(store: ObjectStore) -> str:
    """'looked in STORE'; where that is no store of this project, or was named by nobody, also how to name another."""
    problem = store_problem(store)
    where = f"looked in the store {store.uri}{f', {problem}' if problem else ''}"
    if is_default_store(store.uri):
        return f"{where} (the default, as MTL_STORE is not set); {_HOW}"
    return f"{where}; {_HOW}" if problem else where


def store_problem(store: ObjectStore) -> str | None:
    """Why nothing can be found there, to stand behind the store's name; None for a store that something was put in."""
    if isinstance(store, FolderStore):
        return _folder_problem(Path(store.uri))
    used = any(next(iter(store.list(f"{root}/")), None) for root in _ROOTS)
    return None if used else "which is empty"


def _folder_problem(folder: Path) -> str | None:
    try:
        names = sorted({entry.name for entry in folder.iterdir() if not entry.name.startswith("~")} - {PROBE})
    except FileNotFoundError:
        return "a folder that does not exist"
    except OSError as error:  # a file, or a folder of another user
        return f"which cannot be read as a folder ({error.strerror})"
    if not names:
        return "a folder that is empty"
    if any(root in names for root in _ROOTS):
        return None
    more = ", ..." if len(names) > _SHOWN else ""
    return f"a folder that is no store: it holds {', '.join(names[:_SHOWN])}{more}, and neither datasets nor releases"
