"""A changed field before a resume is refused by name; a compatible run is gone on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.identity import RunIdentity
from mtl.checkpoints.prune import remove_run
from mtl.checkpoints.related import (
    Lineage,
    ResumeSource,
    all_runs,
    find_identity,
    find_related,
    find_run,
    keep_lineage,
    load_identity,
    read_lineage,
    resume_source,
)
from mtl.errors import DamageError, InputError, MismatchError, NotFoundError
from mtl.store.memory import MemoryStore
from tests.support.checkpoints import checkpoint_folder, identity


def begin(store: MemoryStore, run: RunIdentity, tmp_path: Path, *, finish: bool = False) -> None:
    checkpoints = CheckpointStore(store, run, "a")
    checkpoints.acquire()
    folder = tmp_path / "checkpoint-10"
    checkpoints.commit(10, folder if folder.exists() else checkpoint_folder(tmp_path, 10))
    if finish:
        checkpoints.finish(10)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"config": {"seed": 2, "train": {"accumulation": 1}}}, "config.seed: was 1, is now 2"),
        ({"config": {"seed": 1, "train": {"accumulation": 2}}}, "config.train.accumulation: was 1, is now 2"),
        ({"versions": {"torch": "2.14"}}, 'versions.torch: was "2.13", is now "2.14"'),
        ({"threads": 4}, "threads: was 2, is now 4"),
    ],
)
def test_a_demanded_run_that_differs_is_refused_by_field(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    store = MemoryStore()
    begin(store, identity(), tmp_path)
    with pytest.raises(MismatchError) as caught:
        resume_source(store, identity(**change), demanded=identity().sha256[:10])
    assert text in caught.value.message
    assert "leave out --resume" in str(caught.value)


def test_undemanded_a_changed_run_is_its_own_and_names_the_one_it_passed_by(tmp_path: Path) -> None:
    """Nobody is there at night to remove an old run that yesterday's data set left unfinished."""
    store = MemoryStore()
    begin(store, identity(), tmp_path)
    changed = identity(versions={"torch": "2.14"}, threads=4)
    source = resume_source(store, changed)
    assert (source.identity, source.differing) == (changed, ())
    assert source.passed_by == identity()
    assert source.unlike == ("threads", "versions.torch")


def test_a_demand_must_name_one_run(tmp_path: Path) -> None:
    store = MemoryStore()
    begin(store, identity(), tmp_path)
    begin(store, identity(threads=4), tmp_path)
    with pytest.raises(NotFoundError, match="no run 123x"):
        resume_source(store, identity(), demanded="123x")
    with pytest.raises(InputError, match="the beginning of 2 runs"):
        find_run(store, "")
    assert resume_source(store, identity(), demanded=identity().sha256) == ResumeSource(identity())


def test_the_own_run_is_gone_on_from(tmp_path: Path) -> None:
    store = MemoryStore()
    begin(store, identity(), tmp_path)
    assert resume_source(store, identity()).identity == identity()
    assert resume_source(store, identity()).differing == ()


def test_a_compatible_run_is_gone_on_from_and_says_in_what_it_differs(tmp_path: Path) -> None:
    store = MemoryStore()
    begin(store, identity(), tmp_path)
    source = resume_source(store, identity(threads=4), mode="compatible")
    assert source.identity == identity()
    assert source.differing == ("threads",)
    restored = CheckpointStore(store, source.identity, "b").restore(tmp_path / "restored")
    assert restored is not None
    more = identity(versions={"torch": "3"})
    assert resume_source(store, more, mode="compatible").passed_by == identity()
    with pytest.raises(MismatchError, match=r"versions\.torch"):
        resume_source(store, more, mode="compatible", demanded=identity().sha256)


def test_finished_removed_empty_and_other_runs_are_in_nobodys_way(tmp_path: Path) -> None:
    store = MemoryStore()
    changed = identity(threads=4)
    assert resume_source(store, changed).identity == changed
    begin(store, identity(), tmp_path, finish=True)
    begin(store, identity("other"), tmp_path)
    CheckpointStore(store, identity(threads=8), "a").acquire()
    assert resume_source(store, changed).identity == changed
    begin(store, identity(threads=16), tmp_path)
    assert resume_source(store, changed, mode="compatible").identity == identity(threads=16)
    remove_run(store, identity(threads=16).sha256)
    assert resume_source(store, changed, mode="compatible").identity == changed


def test_runs_are_found_by_any_name_newest_first(tmp_path: Path) -> None:
    clock = iter(range(1000, 9999))
    store = MemoryStore(clock=lambda: float(next(clock)))
    names = ["demo", "conf/flan-t5 base.yaml", "conf-flan-t5-base-yaml", "ü", ""]
    for name in names:
        for threads in (1, 2):
            begin(store, identity(name, threads=threads), tmp_path)
    for name in names:
        found = [run.identity for run in find_related(store, identity(name, threads=3))]
        assert found == [identity(name, threads=2), identity(name, threads=1)]
    assert {run.identity for run in all_runs(store)} == {identity(n, threads=t) for n in names for t in (1, 2)}


def test_a_rotted_copy_of_the_identity_is_read_beside_the_run_and_mended(tmp_path: Path) -> None:
    store = MemoryStore()
    begin(store, identity(), tmp_path)
    copy = next(store.list("run-names/")).key
    store.put(copy, b"rotted")
    assert [run.identity for run in all_runs(store)] == [identity()]
    CheckpointStore(store, identity(), "b").acquire()
    assert store.get(copy) == identity().to_json()
    assert load_identity(store, identity().sha256) == identity()


def test_a_rotted_identity_is_read_from_the_copy_that_lists_the_run(tmp_path: Path) -> None:
    store = MemoryStore()
    begin(store, identity(), tmp_path)
    key = f"runs/{identity().sha256}/identity.json"
    for damaged in (b"rotted", b"", identity(threads=2).to_json()):
        store.put(key, damaged)
        assert find_identity(store, identity().sha256) == identity()
        CheckpointStore(store, identity(), "b").publish_identity()
        assert store.get(key) == identity().to_json()


def test_a_run_without_any_intact_identity_does_not_stand_in_the_way_of_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    begin(store, identity("good"), tmp_path)
    begin(store, identity("bad"), tmp_path)
    bad = identity("bad").sha256
    for key in [info.key for info in store.list("") if info.key.endswith((f"{bad}.json", f"{bad}/identity.json"))]:
        store.put(key, b"rotted")
    assert [run.identity for run in all_runs(store)] == [identity("good")]
    assert f"run {bad[:12]} is passed over" in caplog.text
    with pytest.raises(DamageError, match=r"is damaged: .*\n  run the retrain that made this run once more"):
        find_identity(store, bad)


def test_where_a_run_came_from_is_kept_twice(tmp_path: Path) -> None:
    store = MemoryStore()
    lineage = Lineage("a" * 64, 4, ("threads",))
    keep_lineage(store, "b" * 64, lineage)
    store.put(f"runs/{'b' * 64}/lineage.json", b'{"source":"a","step":5,"differing":[]}')
    assert read_lineage(store, "b" * 64) == lineage
    keep_lineage(store, "b" * 64, None)
    assert read_lineage(store, "b" * 64) is None
