"""Retention and collection as laws."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mtl.checkpoints.policies import (
    REQUIRED_FILES,
    collectable,
    missing_files,
    restore_order,
    retained,
    unsafe_names,
    with_commit,
)
from mtl.checkpoints.records import Commit
from mtl.store.base import ObjectInfo


def commit(step: int, metric: float | None = None) -> Commit:
    return Commit(step, f"manifests/{step}-x.json", "x", metric)


COMMITS = st.lists(
    st.builds(commit, st.integers(0, 1000), st.none() | st.floats(allow_nan=True)), unique_by=lambda c: c.step
)


@given(COMMITS, st.integers(1, 5))
def test_the_last_and_the_best_survive_and_order_does_not_matter(commits: list[Commit], keep: int) -> None:
    kept = retained(commits, keep=keep)
    steps = sorted(c.step for c in commits)
    assert [c.step for c in kept] == sorted(c.step for c in kept)
    assert set(steps[-keep:]) <= {c.step for c in kept}
    assert len(kept) <= keep + 1
    finite = [c.metric for c in commits if c.metric is not None and abs(c.metric) < float("inf")]
    if finite:
        assert max(finite) in [c.metric for c in kept]
    assert retained(list(reversed(commits)), keep=keep) == kept
    assert retained(kept, keep=keep) == kept


@given(COMMITS, st.integers(0, 1000))
def test_a_new_commit_takes_the_place_of_its_step(commits: list[Commit], step: int) -> None:
    new = commit(step, 0.5)
    after = with_commit(commits, new)
    assert [c for c in after if c.step == step] == [new]
    assert {c for c in after if c != new} == {c for c in commits if c.step != step}
    assert restore_order(after)[0].step == max(c.step for c in after)


def test_damaged_commits_are_dropped_with_the_next_one() -> None:
    assert with_commit([commit(1), commit(3)], commit(2), damaged=[commit(3)]) == (commit(1), commit(2))


@given(
    st.lists(st.builds(ObjectInfo, st.text(min_size=1), st.just(1), st.floats(0, 1e6)), unique_by=lambda i: i.key),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.data(),
)
def test_nothing_referenced_young_or_newer_than_the_log_is_collected(
    objects: list[ObjectInfo], now: float, head: float, data: st.DataObject
) -> None:
    referenced = {info.key for info in objects if data.draw(st.booleans())}
    collected = collectable(objects, referenced, now=now, head_modified=head, grace=100.0)
    for info in objects:
        due = info.key not in referenced and now - info.modified > 100.0 and info.modified < head
        if info in collected:
            assert info.key not in referenced
            assert info.modified < head
        assert (info in collected) == due or abs(now - 100.0 - info.modified) < 1e-6


def test_required_files() -> None:
    assert missing_files(REQUIRED_FILES) == []
    assert missing_files(REQUIRED_FILES - {"optimizer.pt", "rng_state.pth"}) == ["optimizer.pt", "rng_state.pth"]
    assert unsafe_names(["ok.pt", ".hidden", "a/b", "..", "", "-x"]) == ["", "-x", "..", ".hidden", "a/b"]
