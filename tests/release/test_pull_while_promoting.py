"""Readers while champions change: what they pull is one release, whole, and never older than the one before."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtl.release.aliases import MemoryAliases
from mtl.release.journal import read_journal
from mtl.release.promote import promote, rollback
from mtl.release.pull import pull, verify_folder
from mtl.store.folder import FolderStore
from tests.release.toy import MODEL, publish_toy

VERSIONS = 6


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path / "store")
    for version in range(1, VERSIONS + 1):
        publish_toy(store, tmp_path / "made", version, weights=f"weights {version} ".encode() * 4000)
    promote(store, 1, model=MODEL, expected=None, reason="first", actor="gate", aliases=MemoryAliases())
    return store


def change_champions(home: str, stop: Any) -> None:
    """Promote and roll back until told to stop."""
    store, aliases, version = FolderStore(Path(home)), MemoryAliases(), 1
    while not stop.is_set():
        version = version % VERSIONS + 1
        champion = read_journal(store, MODEL).champion
        promote(
            store,
            version,
            model=MODEL,
            expected=champion,
            reason="better",
            actor="gate",
            aliases=aliases,
            forced=True,
        )
        if version % 3 == 0:
            rollback(store, model=MODEL, reason="worse", actor="ann", aliases=aliases)


@pytest.fixture
def changing(store: FolderStore, tmp_path: Path) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")  # in a process that uses Prefect, forked children end with 1
    stop = context.Event()
    process = context.Process(target=change_champions, args=(str(tmp_path / "store"), stop))
    process.start()
    yield
    stop.set()
    process.join(30)
    assert process.exitcode == 0


def test_what_is_pulled_is_one_release(store: FolderStore, changing: None, tmp_path: Path) -> None:
    """Into one folder again and again, so that files of several releases pass through it, and into fresh ones."""
    seen: set[int] = set()
    before = 0
    until = time.monotonic() + 3
    while time.monotonic() < until or len(seen) < 3:
        assert time.monotonic() < until + 60
        first = read_journal(store, MODEL).seq
        for folder in (tmp_path / "kept", tmp_path / f"fresh-{first}-{len(seen)}"):
            manifest = pull(store, "champion", folder, model=MODEL)
            assert verify_folder(folder) == manifest
            weights = (folder / "adapter_model.safetensors").read_bytes()
            assert weights == f"weights {manifest.version} ".encode() * 4000
            assert {path.name for path in folder.iterdir()} == {
                "manifest.json",
                *(file.path for file in manifest.files),
            }
            seen.add(manifest.version)
        journal = read_journal(store, MODEL)
        assert manifest.version in {change.version for change in journal.changes[max(first, 1) - 1 :]}
        assert journal.seq >= before, "a reader never sees an older journal"
        before = journal.seq
