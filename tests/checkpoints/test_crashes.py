"""Killed at every single write: the previous commit or the new one, never a mixture, and the next owner goes on."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.verify import verify_run
from mtl.errors import FencedError
from mtl.store.base import ObjectStore
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from tests.support.checkpoints import checkpoint_files, checkpoint_folder, contents, identity
from tests.support.stores import KilledError, MortalStore

RUN = identity()


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else FolderStore(tmp_path / "store")


def life(store: ObjectStore, folder: Path) -> None:
    """What a trainer does with the store, from wherever the last one came to: commits at 10, 20, 30, then finish."""
    checkpoints = CheckpointStore(store, RUN, "trainer")
    checkpoints.acquire()
    restored = checkpoints.restore(folder / "restored")
    done = restored.commit.step if restored else 0
    if restored:
        assert contents(folder / "restored") == checkpoint_files(done)
    for step in (10, 20, 30):
        if step > done:
            checkpoints.commit(step, folder / f"checkpoint-{step}", metric=-step)
    checkpoints.finish(30)


@pytest.mark.parametrize("late", [False, True])
def test_killed_at_each_write(store: ObjectStore, tmp_path: Path, late: bool) -> None:
    """Each life gets one write further than the last one; between lives a reader always finds a whole commit."""
    for step in (10, 20, 30):
        checkpoint_folder(tmp_path, step)
    reader = CheckpointStore(store, RUN, "reader")
    seen = []
    for lives in itertools.count():
        try:
            life(MortalStore(store, lives, late=late), tmp_path)
        except KilledError:
            restored = reader.restore(tmp_path / "read")
            seen.append(restored.commit.step if restored else 0)
            if restored:
                assert not restored.fell_back
                assert contents(tmp_path / "read") == checkpoint_files(restored.commit.step)
        else:
            break
        assert lives < 100
    assert seen == sorted(seen)
    finished = reader.finished()
    assert finished is not None
    assert finished.step == 30
    assert verify_run(store, RUN.sha256).intact


@pytest.mark.parametrize("late", [False, True])
def test_one_commit_killed_at_each_of_its_writes(tmp_path: Path, late: bool) -> None:
    """From the same start each time: the commit is there exactly when its last write, the log entry, was done."""
    folders = [checkpoint_folder(tmp_path, step) for step in (10, 20)]
    found = []
    for lives in itertools.count():
        store = MemoryStore()
        mortal = MortalStore(store, 1000, late=late)
        first = CheckpointStore(mortal, RUN, "a")
        first.acquire()
        first.commit(10, folders[0])
        mortal.lives = lives
        try:
            first.commit(20, folders[1])
        except KilledError:
            pass
        else:
            break
        restored = CheckpointStore(store, RUN, "b").restore(tmp_path / "read")
        assert restored is not None
        assert contents(tmp_path / "read") == checkpoint_files(restored.commit.step)
        found.append(restored.commit.step)
    blobs_manifest_and_entry = 5 + 1 + 1  # adapter_config.json is unchanged
    assert found == [10] * (blobs_manifest_and_entry - late) + [20] * late


def test_many_owners_at_once_end_with_one(store: ObjectStore, tmp_path: Path) -> None:
    """Eight trainers start together: all but the last to acquire are fenced at their commit."""
    folder = checkpoint_folder(tmp_path, 10)

    def start(n: int) -> tuple[str, CheckpointStore] | None:
        checkpoints = CheckpointStore(store, RUN, f"owner-{n}")
        try:
            checkpoints.acquire()
        except FencedError:
            return None
        return f"owner-{n}", checkpoints

    def commit(owner: tuple[str, CheckpointStore]) -> bool:
        try:
            owner[1].commit(10, folder)
        except FencedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        owners = [owner for owner in pool.map(start, range(8)) if owner]
        results = list(pool.map(commit, owners))
    assert results.count(True) == 1
    assert CheckpointStore(store, RUN, "reader").state().owner == owners[results.index(True)][0]
