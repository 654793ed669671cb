"""Commit, restore, fall back, fence: on the memory and the folder store."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.policies import REQUIRED_FILES
from mtl.checkpoints.records import manifest_key
from mtl.errors import FencedError, PermanentError, TransientError
from mtl.fingerprint import sha256_bytes
from mtl.layout import blob_key
from mtl.store.base import ObjectStore
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from tests.support.checkpoints import checkpoint_files, checkpoint_folder, contents, identity

RUN = identity()


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else FolderStore(tmp_path / "store")


def owner(store: ObjectStore, name: str = "a", **options: Any) -> CheckpointStore:
    checkpoints = CheckpointStore(store, RUN, name, **options)
    checkpoints.acquire()
    return checkpoints


def commit(checkpoints: CheckpointStore, tmp_path: Path, *steps: int, salt: str = "") -> None:
    for step in steps:
        checkpoints.commit(step, checkpoint_folder(tmp_path, step, salt=salt))


def restored_step(store: ObjectStore, tmp_path: Path) -> int | None:
    """The step that a fresh process would go on from, its files checked against what was committed."""
    restored = CheckpointStore(store, RUN, "reader").restore(tmp_path / "restored")
    if restored is None:
        return None
    assert contents(tmp_path / "restored") == checkpoint_files(restored.commit.step)
    return restored.commit.step


def test_nothing_committed_restores_nothing(store: ObjectStore, tmp_path: Path) -> None:
    checkpoints = CheckpointStore(store, RUN, "a")
    assert checkpoints.restore(tmp_path / "x") is None
    assert checkpoints.commits() == ()
    assert checkpoints.finished() is None
    assert not (tmp_path / "x").exists()


def test_the_newest_commit_comes_back_byte_for_byte(store: ObjectStore, tmp_path: Path) -> None:
    commit(owner(store), tmp_path, 10, 20)
    assert restored_step(store, tmp_path) == 20


def test_restore_replaces_what_is_in_the_way(store: ObjectStore, tmp_path: Path) -> None:
    commit(owner(store), tmp_path, 10)
    (tmp_path / "restored").mkdir()
    (tmp_path / "restored" / "old").write_text("old")
    (tmp_path / ".restored.killed~").mkdir()
    assert restored_step(store, tmp_path) == 10
    assert not list(tmp_path.glob(".restored*"))


def test_the_last_three_and_the_best_are_kept(store: ObjectStore, tmp_path: Path) -> None:
    checkpoints = owner(store)
    for step, metric in [(10, 0.1), (20, 0.9), (30, 0.2), (40, 0.3), (50, float("nan")), (60, 0.9)]:
        checkpoints.commit(step, checkpoint_folder(tmp_path, step), metric if metric == metric else None)
    assert [kept.step for kept in checkpoints.commits()] == [20, 40, 50, 60]


def test_a_finished_run_says_so_also_after_another_acquire(store: ObjectStore, tmp_path: Path) -> None:
    checkpoints = owner(store)
    commit(checkpoints, tmp_path, 10)
    with pytest.raises(PermanentError, match="no commit at step 20"):
        checkpoints.finish(20)
    checkpoints.finish(10)
    seq = checkpoints.state().seq
    checkpoints.finish(10)
    assert checkpoints.state().seq == seq
    finished = owner(store, "b").finished()
    assert finished is not None
    assert finished.step == 10


@pytest.mark.parametrize("kind", ["flip", "truncate", "zero", "empty", "missing"])
@pytest.mark.parametrize("name", [*sorted(REQUIRED_FILES), "manifest"])
def test_damage_falls_back_loudly_to_the_commit_before(
    tmp_path: Path, name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    checkpoints = owner(store)
    commit(checkpoints, tmp_path, 10)
    files = checkpoint_files(20) | {"adapter_config.json": b'{"r": 16}'}
    folder = checkpoint_folder(tmp_path, 20)
    (folder / "adapter_config.json").write_bytes(files["adapter_config.json"])
    newest = checkpoints.commit(20, folder)
    key = manifest_key(RUN.sha256, newest) if name == "manifest" else blob_key(RUN.sha256, sha256_bytes(files[name]))
    damage(store, key, kind)

    with caplog.at_level(logging.WARNING):
        assert restored_step(store, tmp_path) == 10
    assert name in caplog.text
    assert "step 20" in caplog.text

    resumed = owner(store, "b")
    assert resumed.restore(tmp_path / "again") is not None
    resumed.commit(20, folder)  # the same bytes again: the damaged blob must not be taken for them
    restored = CheckpointStore(store, RUN, "c").restore(tmp_path / "last")
    assert restored is not None
    assert restored.commit.step == 20
    assert contents(tmp_path / "last") == files


def damage(store: ObjectStore, key: str, kind: str) -> None:
    data = store.get(key)
    if kind == "missing":
        store.delete(key)
        return
    flipped = data[:5] + bytes([data[5] ^ 1]) + data[6:]
    store.put(key, {"flip": flipped, "truncate": data[:-1], "zero": bytes(len(data)), "empty": b""}[kind])


def test_every_commit_damaged_starts_from_scratch_and_goes_on(
    store: ObjectStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    commit(owner(store), tmp_path, 10, 20)
    for info in list(store.list(f"runs/{RUN.sha256}/blobs/")):
        damage(store, info.key, "flip")
    again = owner(store, "b")
    assert again.restore(tmp_path / "x") is None
    assert "all 2 checkpoints are damaged; STARTING FROM SCRATCH" in caplog.text
    again.commit(10, tmp_path / "checkpoint-10")
    assert [kept.step for kept in again.commits()] == [10]
    assert restored_step(store, tmp_path) == 10


@pytest.mark.parametrize("kind", ["flip", "truncate", "zero", "empty"])
def test_a_damaged_log_entry_falls_back_to_the_entry_before(store: ObjectStore, tmp_path: Path, kind: str) -> None:
    first = owner(store)
    commit(first, tmp_path, 10, 20)
    last = list(store.list(f"runs/{RUN.sha256}/log/"))[-1]
    damage(store, last.key, kind)
    assert restored_step(store, tmp_path) == 10
    second = owner(store, "b")
    assert second.restore(tmp_path / "x") is not None
    commit(second, tmp_path, 15)
    assert restored_step(store, tmp_path) == 15
    with pytest.raises(FencedError):
        first.commit(30, checkpoint_folder(tmp_path, 30))


def test_an_older_owner_is_fenced_and_changes_nothing(store: ObjectStore, tmp_path: Path) -> None:
    first = owner(store, "host-1:7")
    commit(first, tmp_path, 10)
    second = owner(store, "host-2:9")
    before = [info.key for info in store.list(f"runs/{RUN.sha256}/log/")]
    with pytest.raises(FencedError, match=r"belongs to host-2:9 \(epoch 2\) now; host-1:7 \(epoch 1\) stops") as caught:
        first.commit(20, checkpoint_folder(tmp_path, 20))
    assert caught.value.exit_code == 75
    with pytest.raises(FencedError):
        first.finish(10)
    assert [info.key for info in store.list(f"runs/{RUN.sha256}/log/")] == before
    assert [kept.step for kept in second.commits()] == [10]
    commit(second, tmp_path, 30)


def test_a_missing_or_odd_file_is_refused_by_name(store: ObjectStore, tmp_path: Path) -> None:
    checkpoints = owner(store)
    folder = checkpoint_folder(tmp_path, 10)
    (folder / "optimizer.pt").unlink()
    with pytest.raises(PermanentError, match=r"no whole checkpoint: optimizer\.pt missing"):
        checkpoints.commit(10, folder)
    folder = checkpoint_folder(tmp_path, 20)
    (folder / "sub").mkdir()
    (folder / "link.pt").symlink_to(folder / "optimizer.pt")
    with pytest.raises(PermanentError, match=r"link\.pt, sub: only plain files"):
        checkpoints.commit(20, folder)
    assert checkpoints.commits() == ()


def test_order_of_calls_is_guarded(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="not owned yet"):
        CheckpointStore(store, RUN, "a").commit(1, checkpoint_folder(tmp_path, 1))
    checkpoints = owner(store)
    commit(checkpoints, tmp_path, 20)
    with pytest.raises(PermanentError, match="commit of step 10 after step 20"):
        commit(checkpoints, tmp_path, 10)


@pytest.mark.parametrize("lost", ["put_if_absent", "put", "put_file", "head", "list"])
def test_after_an_error_the_same_commit_can_be_tried_again(tmp_path: Path, lost: str) -> None:
    """The answer to each kind of call is lost once; the second try makes one commit and nobody is fenced."""
    store = MemoryStore()
    checkpoints = owner(store)
    commit(checkpoints, tmp_path, 10)
    pending = [lost]

    def lose(operation: str, key: str) -> None:
        if operation in pending:
            pending.clear()
            raise TransientError("answer lost")

    store.after = lose
    folder = checkpoint_folder(tmp_path, 20)
    with pytest.raises(TransientError):
        checkpoints.commit(20, folder)
    checkpoints.commit(20, folder)
    checkpoints.finish(20)
    assert [kept.step for kept in checkpoints.commits()] == [10, 20]
    assert restored_step(store, tmp_path) == 20


def test_unchanged_files_are_put_once(tmp_path: Path) -> None:
    store = MemoryStore()
    checkpoints = owner(store)
    puts: list[str] = []
    store.before = lambda operation, key: puts.append(key) if operation == "put_file" else None
    commit(checkpoints, tmp_path, 10, 20)
    assert len(puts) == 2 * len(REQUIRED_FILES) - 1


def test_taken_over_before_it_restored_it_is_fenced_even_with_nothing_left_to_do(
    store: ObjectStore, tmp_path: Path
) -> None:
    """It slept between acquire and restore; meanwhile the other one did it all."""
    sleeper, other = CheckpointStore(store, RUN, "a"), CheckpointStore(store, RUN, "b")
    sleeper.acquire()
    other.acquire()
    other.commit(10, checkpoint_folder(tmp_path, 10))
    other.finish(10)
    restored = sleeper.restore(tmp_path / "restored")
    assert restored is not None
    with pytest.raises(FencedError):
        sleeper.finish(restored.commit.step)
