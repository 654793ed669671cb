"""Promotions that overlap, stall and die: what a process wrote late is never taken for what a person did.

Threads stand for processes; a scheduler lets one of them make one call to store or registry at a time, in an order that
a seed gives, and kills some of them. `test_kills` does the same with real processes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.errors import MtlError
from mtl.release.aliases import MemoryAliases
from mtl.release.journal import read_journal
from mtl.release.promote import MOVED_BY, follow, promote, rollback
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy

PERSONS = 5
"""The version that only a person makes champion."""


class Killed(BaseException):
    """What a process does on SIGKILL, as far as store and registry can see."""


class Process(threading.Thread):
    """Work that waits before each call until it is let through; it dies at call number `dies_at`."""

    def __init__(self, work: Callable[[], object], *, dies_at: int | None) -> None:
        super().__init__(daemon=True)
        self._work, self._left = work, dies_at
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self.over = False

    def run(self) -> None:
        self._go.acquire()
        try:
            self._work()
        except (MtlError, Killed):
            pass
        finally:
            self.over = True
            self._back.release()

    def step(self) -> None:
        """Let it make its next call."""
        self._go.release()
        assert self._back.acquire(timeout=10)

    def call(self) -> None:
        self._back.release()
        self._go.acquire()
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise Killed


def here() -> None:
    """Where a process of the scheduler waits for its turn; nobody else does."""
    process = threading.current_thread()
    if isinstance(process, Process):
        process.call()


class SlowAliases(MemoryAliases):
    def aliases(self) -> dict[str, int]:
        here()
        return dict(super().aliases())

    def set_alias(self, alias: str, version: int | None) -> None:
        here()
        super().set_alias(alias, version)

    def synced(self) -> int | None:
        here()
        return super().synced()

    def set_synced(self, seq: int | None) -> None:
        here()
        super().set_synced(seq)


class World:
    """A store with five releases, v1 as champion, aliases, and a clock of the store's own."""

    def __init__(self, releases: MemoryStore) -> None:
        self.now = 1e9
        self.store = MemoryStore(clock=lambda: self.now)
        for info in releases.list(""):
            self.store.put(info.key, releases.get(info.key))
        self.aliases = SlowAliases()
        self.promote(1)
        self.store.before = lambda operation, key: here() if "/v" not in key else None

    def promote(self, version: int) -> None:
        expected = read_journal(self.store, MODEL).champion
        promote(
            self.store,
            version,
            model=MODEL,
            expected=expected,
            reason="better",
            actor="gate",
            aliases=self.aliases,
            forced=True,
        )

    def rollback(self) -> None:
        rollback(self.store, model=MODEL, reason="worse", actor="ann", aliases=self.aliases)

    def follow(self) -> None:
        follow(self.store, model=MODEL, aliases=self.aliases)

    def persons_move(self, version: int) -> None:
        here()
        MemoryAliases.set_alias(self.aliases, "champion", version)

    def adopted(self) -> list[int]:
        return [change.version for change in read_journal(self.store, MODEL).changes if change.actor == MOVED_BY]

    def left(self) -> list[str]:
        return [info.key for info in self.store.list(f"releases/{MODEL}/alias-writes/")]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    store = MemoryStore()
    for version in range(1, PERSONS + 1):
        publish_toy(store, tmp_path_factory.mktemp("toys"), version)
    return store


def run(processes: list[Process], draw: random.Random) -> None:
    """Let them all run to their end. One that stalls gets its turn seldom, so that the others overtake it."""
    weights = {process: draw.choice((1.0, 1.0, 0.02)) for process in processes}
    for process in processes:
        process.start()
    alive = list(processes)
    while alive:
        (chosen,) = draw.choices(alive, [weights[process] for process in alive])
        if draw.random() < 0.02:
            weights[chosen] = draw.choice((1.0, 0.02))
        chosen.step()
        alive = [process for process in alive if not process.over]


def trial(releases: MemoryStore, seed: int, *, person: bool) -> None:
    draw = random.Random(seed)
    world = World(releases)
    works: list[Callable[[], object]] = [world.follow, world.rollback]
    works += [lambda version=version: world.promote(version) for version in range(1, PERSONS)]  # type: ignore[misc]
    chosen = [*draw.choices(works, k=draw.randint(2, 5)), world.follow]
    dies_at = [draw.randint(0, 60) if draw.random() < 0.4 else None for _ in chosen]
    processes = [Process(work, dies_at=call) for work, call in zip(chosen, dies_at, strict=True)]
    if person:
        processes.append(Process(lambda: world.persons_move(PERSONS), dies_at=None))
    run(processes, draw)
    world.now += draw.choice((0, 0, 7200))
    world.follow()
    assert set(world.adopted()) <= {PERSONS}, f"seed {seed}"
    world.now += 7200
    world.follow()
    assert set(world.adopted()) <= {PERSONS}, f"seed {seed}"
    check_settled(world, seed)


def check_settled(world: World, seed: int) -> None:
    """Aliases say what the journal says, nothing is announced any more, and a person is heard at once."""
    journal = read_journal(world.store, MODEL)
    assert world.aliases.aliases().get("champion") == journal.champion, f"seed {seed}"
    assert world.aliases.aliases().get("previous") == journal.previous, f"seed {seed}"
    assert (world.aliases.synced(), world.left()) == (journal.seq, []), f"seed {seed}"
    target = next(version for version in (journal.previous, 1, 2) if version not in (None, journal.champion))
    assert target is not None
    MemoryAliases.set_alias(world.aliases, "champion", target)
    world.follow()
    head = read_journal(world.store, MODEL).head
    assert head is not None
    assert (head.version, head.actor) == (target, MOVED_BY), f"seed {seed}"


@pytest.mark.parametrize("person", [False, True])
def test_no_late_write_becomes_an_entry(releases: MemoryStore, person: bool) -> None:
    for seed in range(150):
        trial(releases, seed, person=person)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_late_write_becomes_an_entry_in_many_orders(releases: MemoryStore) -> None:
    for seed in range(1000, 3000):
        trial(releases, seed, person=seed % 2 == 0)


def test_a_slow_promotion_that_writes_the_aliases_of_an_older_champion_is_put_right(tmp_path: Path) -> None:
    store = MemoryStore()
    for version in (1, 2, 3):
        publish_toy(store, tmp_path, version)

    class Overtaken(MemoryAliases):
        overtaken = False

        def set_alias(self, alias: str, version: int | None) -> None:
            if (alias, version, self.overtaken) == ("champion", 2, False):
                self.overtaken = True
                go(3, 2)
            super().set_alias(alias, version)

    def go(version: int, expected: int | None) -> None:
        promote(store, version, model=MODEL, expected=expected, reason="better", actor="gate", aliases=aliases)

    aliases = Overtaken()
    go(1, None)
    go(2, 1)
    assert (aliases.overtaken, aliases.aliases()) == (True, {"champion": 3, "previous": 2})
    assert follow(store, model=MODEL, aliases=aliases).adopted is None
    assert [change.version for change in read_journal(store, MODEL).changes] == [1, 2, 3]


def test_killed_after_a_late_write_it_is_put_right_and_said_to_be(tmp_path: Path) -> None:
    now = 1e9
    store = MemoryStore(clock=lambda: now)
    for version in (1, 2, 3):
        publish_toy(store, tmp_path, version)

    class Overtaken(MemoryAliases):
        overtaken = False

        def set_alias(self, alias: str, version: int | None) -> None:
            if (alias, version, self.overtaken) == ("champion", 2, False):
                self.overtaken = True
                go(3, 2)
                super().set_alias(alias, version)
                raise Killed
            super().set_alias(alias, version)

    def go(version: int, expected: int | None) -> None:
        promote(store, version, model=MODEL, expected=expected, reason="better", actor="gate", aliases=aliases)

    aliases = Overtaken()
    go(1, None)
    with pytest.raises(Killed):
        go(2, 1)
    assert (aliases.aliases()["champion"], aliases.synced()) == (2, 3), "the state that was taken for a rollback"
    now += 86400  # nobody looks for a day
    followed = follow(store, model=MODEL, aliases=aliases)
    assert (followed.adopted, followed.mended) == (None, {"champion": 3})
    assert followed.refused is not None and "found at v2, which a process that was killed" in followed.refused
    aliases.set_alias("champion", 1)
    assert follow(store, model=MODEL, aliases=aliases).adopted is not None, "a person is heard again"


def test_a_process_that_stalled_for_too_long_writes_no_alias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtl.release import alias_writes

    store, aliases = MemoryStore(), MemoryAliases()
    publish_toy(store, tmp_path, 1)
    monkeypatch.setattr(alias_writes, "BEGINS_WITHIN", -1.0)
    with pytest.raises(MtlError, match=r"the aliases were not written(.|\n)*run it again"):
        promote(store, 1, model=MODEL, expected=None, reason="first", actor="gate", aliases=aliases)
    assert (read_journal(store, MODEL).champion, aliases.aliases()) == (1, {})
