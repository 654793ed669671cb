"""The object store: put, get, list, conditional put, delete, and its clock."""

from __future__ import annotations

from collections.abc import Iterator

from mtl.doctor.result import CheckResult, ok
from mtl.settings import Settings
from mtl.store.open import open_store
from mtl.store.probe import probe_store

_PATIENCE = 20.0  # seconds: somebody is waiting


def store(settings: Settings) -> Iterator[CheckResult]:
    """Does the store what the checkpoint protocol asks of it? Errors: those of the store, as `probe_store`."""
    opened = open_store(settings.store, patience=_PATIENCE)
    probe_store(opened)
    yield ok("store", f"{opened.uri}: put, get, list, conditional put and delete work")
