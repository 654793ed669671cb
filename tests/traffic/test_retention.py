"""Old parts and those beyond the bound are removed, by the store's clock; feedback stays."""

from __future__ import annotations

import pytest

from mtl.pipeline.prune import prune_store
from mtl.settings.traffic import TrafficSettings
from mtl.store.memory import MemoryStore
from mtl.traffic.retention import COUNTS_DAYS, expired, remove

DAY = 86400.0


class Clock:
    now = 1000 * DAY

    def __call__(self) -> float:
        return self.now


def filled(clock: Clock) -> MemoryStore:
    """Ten days of two models, a megabyte each day; feedback and counts with them."""
    store, end = MemoryStore(clock=clock), clock.now
    for day in range(10):
        clock.now = end - (9 - day) * DAY
        for model in ("a", "b"):
            store.put(f"traffic/{model}/requests/2026-01-{day + 10}/s-1.parquet", bytes(10**6))
            store.put(f"traffic/{model}/feedback/{day:032x}.json", b"{}")
            store.put(f"traffic/{model}/served/2026-01-{day + 10}T10/s.json", b"{}")
    store.put("runs/x", b"")
    return store


@pytest.mark.parametrize(
    ("days", "megabytes", "left"),
    [(30, 100, range(10, 20)), (3, 100, range(16, 20)), (30, 4, range(16, 20)), (2, 4, range(17, 20)), (30, 0.5, [])],
)
def test_days_and_megabytes(days: int, megabytes: float, left: range) -> None:
    store = filled(Clock())
    gone = expired(store, days=days, max_bytes=int(megabytes * 10**6))
    assert remove(store, gone) == len(gone) == 2 * (10 - len(left))
    keys = [info.key for info in store.list("traffic/a/requests/")]
    assert keys == [f"traffic/a/requests/2026-01-{day}/s-1.parquet" for day in left]
    assert len(list(store.list("traffic/a/feedback/"))) == 10


def test_one_model_alone() -> None:
    store = filled(Clock())
    assert {info.key.split("/")[1] for info in expired(store, days=1, max_bytes=1, model="b")} == {"b"}


def test_the_stores_clock_counts_and_counts_stay_longer() -> None:
    clock = Clock()
    store = filled(clock)
    clock.now += (COUNTS_DAYS + 1) * DAY
    gone = [info.key for info in expired(store, days=10_000, max_bytes=10**9)]
    assert len(gone) == 20
    assert all("/served/" in key for key in gone)


def test_the_prune_flow_removes_them_too() -> None:
    store = filled(Clock())
    settings = TrafficSettings(days=3)
    listed = prune_store(store, delete=False, traffic=settings)
    assert len(listed.plan.objects) == 12
    assert prune_store(store, delete=True, traffic=settings).deleted == 12
    assert prune_store(store, delete=True, traffic=settings).deleted == 0
