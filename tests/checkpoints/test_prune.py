"""Verify names what is damaged; prune deletes nothing that is needed, young, or in progress."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.prune import plan_prune, prune, remove_run
from mtl.checkpoints.verify import verify_run
from mtl.cli import checkpoints as commands
from mtl.errors import NotFoundError
from mtl.fingerprint import sha256_bytes
from mtl.layout import blob_key
from mtl.pipeline.prune import prune_checkpoints
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from mtl.workspace import open_workspace
from tests.support.checkpoints import checkpoint_files, checkpoint_folder, identity

RUN = identity()
DAY = 24 * 3600.0


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock=clock)


def train(store: MemoryStore, tmp_path: Path, *steps: int) -> CheckpointStore:
    checkpoints = CheckpointStore(store, RUN, "a")
    checkpoints.acquire()
    for step in steps:
        checkpoints.commit(step, checkpoint_folder(tmp_path, step))
    return checkpoints


def test_only_what_no_commit_needs_goes_and_only_after_a_day(store: MemoryStore, clock: Clock, tmp_path: Path) -> None:
    checkpoints = train(store, tmp_path, 10, 20, 30, 40)
    clock.now += 1
    checkpoints.finish(40)
    before = {info.key for info in store.list("")}
    assert plan_prune(store, now=clock.now + DAY / 2).objects == ()
    plan = plan_prune(store, now=clock.now + DAY + 1)
    assert len(plan.objects) == 6  # five blobs and the manifest of step 10; adapter_config.json is shared
    assert plan.bytes > 0
    assert {info.key for info in store.list("")} == before
    assert prune(store, plan, now=clock.now + DAY + 1) == 6
    assert before - {info.key for info in store.list("")} == {info.key for info in plan.objects}
    assert verify_run(store, RUN.sha256).intact
    assert not plan_prune(store, now=clock.now + DAY + 1).objects


@pytest.mark.parametrize("jump", [DAY + 10, -DAY - 10, 10 * DAY])
def test_a_commit_in_progress_survives_a_prune_when_the_clock_jumps(
    store: MemoryStore, clock: Clock, tmp_path: Path, jump: float
) -> None:
    """After each write of the commit in turn."""
    checkpoints = train(store, tmp_path, 10)
    written: list[str] = []

    def jump_and_prune(operation: str, key: str) -> None:
        if operation not in ("put", "put_file") or key in written:
            return
        written.append(key)
        plan = plan_prune(store, now=clock.now + jump)
        assert prune(store, plan, now=clock.now + jump) == 0

    clock.now += 1
    store.after = jump_and_prune
    checkpoints.commit(20, checkpoint_folder(tmp_path, 20))
    store.after = lambda operation, key: None
    assert len(written) == 6
    assert verify_run(store, RUN.sha256).intact


def test_what_was_written_again_since_the_plan_stays(store: MemoryStore, clock: Clock, tmp_path: Path) -> None:
    checkpoints = train(store, tmp_path, 10, 20, 30, 40)
    clock.now += 1
    checkpoints.finish(40)
    later = clock.now + DAY + 1
    plan = plan_prune(store, now=later)
    clock.now = later
    store.put(plan.objects[0].key, store.get(plan.objects[0].key))
    assert prune(store, plan, now=later) == len(plan.objects) - 1


def test_a_blob_that_a_prune_took_is_put_again(store: MemoryStore, tmp_path: Path) -> None:
    checkpoints = train(store, tmp_path, 10)
    shared = blob_key(RUN.sha256, sha256_bytes(checkpoint_files(10)["adapter_config.json"]))
    store.delete(shared)
    checkpoints.commit(20, checkpoint_folder(tmp_path, 20))
    assert verify_run(store, RUN.sha256).intact


def test_a_run_with_a_damaged_log_or_manifest_is_left_alone(store: MemoryStore, clock: Clock, tmp_path: Path) -> None:
    train(store, tmp_path, 10, 20, 30, 40)
    later = clock.now + 2 * DAY
    for prefix in ("manifests/40-", "log/000000000005"):
        key = next(store.list(f"runs/{RUN.sha256}/{prefix}")).key
        whole = store.get(key)
        store.put(key, b"rotted")
        plan = plan_prune(store, now=later)
        assert plan.objects == ()
        assert plan.skipped[0][0] == RUN.sha256
        assert "is damaged" in plan.skipped[0][1]
        store.put(key, whole)


def test_verify_names_the_damaged_file(store: MemoryStore, tmp_path: Path) -> None:
    train(store, tmp_path, 10, 20)
    report = verify_run(store, RUN.sha256)
    assert report.intact
    assert [commit.step for commit in report.commits] == [10, 20]
    key = blob_key(RUN.sha256, sha256_bytes(checkpoint_files(20)["optimizer.pt"]))
    store.put(key, bytes(len(store.get(key))))
    store.put(f"runs/{RUN.sha256}/log/000000000001.json", b"{}")
    store.delete(f"runs/{RUN.sha256}/identity.json")
    report = verify_run(store, RUN.sha256)
    assert [(item.step, item.file) for item in report.damage] == [
        (0, "identity.json"),
        (0, "log entry 1"),
        (20, "optimizer.pt"),
    ]
    assert report.to_dict()["intact"] is False
    assert f"step 20: optimizer.pt: its sha256 is not that of the commit ({key})" == str(report.damage[-1])


def test_a_run_is_removed_whole_and_removal_can_be_repeated(store: MemoryStore, tmp_path: Path) -> None:
    train(store, tmp_path, 10)
    other = CheckpointStore(store, identity("other"), "a")
    other.acquire()
    assert remove_run(store, RUN.sha256) > 8
    assert [info.key for info in store.list("") if RUN.sha256 in info.key] == []
    assert other.state().epoch == 1
    for operation in (remove_run, verify_run):
        with pytest.raises(NotFoundError, match="no run"):
            operation(store, RUN.sha256)


@pytest.mark.parametrize("days", [2, -2, 400, -400])
def test_a_wrong_clock_of_this_machine_deletes_nothing_young_and_keeps_nothing_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """`mtl checkpoints prune` and the end of a retrain, on a folder: the file system says how old a file is."""
    folder = tmp_path / "store"
    store = FolderStore(folder)
    checkpoints = CheckpointStore(store, RUN, "a")
    checkpoints.acquire()
    for step in (10, 20, 30, 40):
        checkpoints.commit(step, checkpoint_folder(tmp_path, step))
    before = {info.key for info in store.list("")}
    now = time.time()
    monkeypatch.setenv("MTL_STORE", str(folder))
    monkeypatch.setattr("time.time", lambda: now + days * DAY)
    assert prune_checkpoints(open_workspace(), delete=True).deleted == 0
    assert commands.prune(None, yes=True)["deleted"] == 0
    assert {info.key for info in store.list("")} == before
    for path in folder.rglob("*"):
        if path.is_file() and "/log/" not in str(path):
            os.utime(path, (now - 2 * DAY, now - 2 * DAY))
    assert commands.prune(None, yes=True)["deleted"] == 6
    assert verify_run(store, RUN.sha256).intact


def test_prunes_while_other_models_train(tmp_path: Path) -> None:
    """Two runs commit, prunes and sweeps by clocks two days off run all the while: every kept commit is whole."""
    store = FolderStore(tmp_path / "store")
    over = threading.Event()

    def train(name: str) -> None:
        checkpoints = CheckpointStore(store, identity(name), name)
        checkpoints.acquire()
        for step in range(10, 90, 10):
            checkpoints.commit(step, checkpoint_folder(tmp_path / name, step))
            assert checkpoints.restore(tmp_path / name / "restored") is not None
        checkpoints.finish(80)

    def clean(days: int) -> None:
        while not over.is_set():
            now = store.now() + days * DAY
            prune(store, plan_prune(store, now=now, grace=0), now=now, grace=0)

    with ThreadPoolExecutor(4) as pool:
        cleaners = [pool.submit(clean, days) for days in (2, -2)]
        runs = [pool.submit(train, name) for name in ("one", "two")]
        try:
            for future in runs:
                future.result()
        finally:
            over.set()
        for future in cleaners:
            future.result()
    for name in ("one", "two"):
        report = verify_run(store, identity(name).sha256)
        assert report.intact, report.damage
        assert [commit.step for commit in report.commits] == [60, 70, 80]
