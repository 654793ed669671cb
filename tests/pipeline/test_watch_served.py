"""What is compared with what, and a promotion that gets there first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mtl.config.rollback import RollbackConfig
from mtl.pipeline.promote import ChampionChange, promote_by_hand
from mtl.pipeline.watch_served import ServedCheck, watch_served
from mtl.registry.base import ModelRegistry
from mtl.registry.memory import MemoryRegistry
from mtl.release.journal import read_journal
from mtl.release.promote import promote
from mtl.serving.folder import ADAPTER
from mtl.settings import load_settings
from mtl.store.memory import MemoryStore
from mtl.tracking.memory import MemoryTracker
from mtl.traffic.records import ServedCounts
from mtl.traffic.store import write_counts
from mtl.workspace import Workspace
from tests.release.toy import MODEL, publish_toy

POLICY = RollbackConfig(enabled=True)


class World:
    """Three released versions in memory; `before_rollback` is called once, just before a rollback."""

    def __init__(self, folder: Path) -> None:
        self.store, self.aliases = MemoryStore(), MemoryRegistry(MODEL)
        self.before_rollback: Callable[[], object] | None = None
        for version in (1, 2, 3):
            publish_toy(self.store, folder, version)
            (folder / ADAPTER).touch()
            self.aliases.register("r", folder, identity=f"{version}", fingerprint="f", code_version="c")

    def promote(self, version: int) -> None:
        champion = read_journal(self.store, MODEL).champion
        promote(
            self.store,
            version,
            model=MODEL,
            expected=champion,
            reason="better",
            actor="gate 5-0a1b2c3d",
            aliases=self.aliases,
        )

    def force(self, version: int) -> ChampionChange:
        return promote_by_hand(self.workspace(), MODEL, f"v{version}", force="I looked at it", actor="Ann")

    def serve(self, counts: ServedCounts, *, hours_ago: int = 0) -> None:
        at = datetime.now(UTC) - timedelta(hours=hours_ago)
        write_counts(self.store, MODEL, f"of-v{counts.version}", at, [counts])

    def served_worse(self) -> None:
        """v1 answered well in the hour before this one, and v2 fails half of the texts in this one."""
        self.serve(ServedCounts(1, requests=200), hours_ago=1)
        self.serve(ServedCounts(2, requests=200, errors=100))

    def watch(self, policy: RollbackConfig = POLICY, *, hours_later: int = 0) -> ServedCheck:
        return watch_served(self.workspace(), MODEL, policy, now=datetime.now(UTC) + timedelta(hours=hours_later))

    def workspace(self) -> Workspace:
        return Workspace(load_settings(), self.store, MemoryTracker, self._registry)

    def _registry(self, workspace: Workspace, model: str) -> ModelRegistry:
        if self.before_rollback:
            call, self.before_rollback = self.before_rollback, None
            call()
        return self.aliases


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_a_champion_or_a_previous_one_there_is_nothing_to_compare(world: World) -> None:
    assert world.watch().reasons == ("There is no champion yet.",)
    world.promote(1)
    assert world.watch().reasons == ("v1 is the first champion: there is none to go back to.",)


def test_a_promotion_that_gets_there_first_is_not_undone(world: World) -> None:
    """v3 becomes champion after the counts were read, and before the journal is written."""
    for version in (1, 2):
        world.promote(version)
    world.served_worse()
    world.before_rollback = lambda: world.promote(3)
    found = world.watch()
    assert (found.outcome, found.champion, read_journal(world.store, MODEL).champion) == ("kept", 2, 3)
    assert found.text == "Somebody else promoted, confirmed or rolled back a version meanwhile, so nothing was done."


def test_a_confirmation_that_gets_there_first_is_heeded(world: World) -> None:
    """Ann confirms v2 after the counts were read, and before the journal is written."""
    for version in (1, 2):
        world.promote(version)
    world.served_worse()
    world.before_rollback = lambda: world.force(2)
    assert world.watch().outcome == "kept"
    found = world.watch()
    assert (found.outcome, read_journal(world.store, MODEL).champion) == ("needs-person", 2)
    assert found.reasons[0].startswith("v2 was confirmed by Ann on ")


@pytest.mark.parametrize("promoted_before", [True, False])
def test_force_on_the_champion_is_one_entry_and_keeps_it(world: World, promoted_before: bool) -> None:
    """Nothing was rolled back before. The same call again, as of a step that is tried again, changes nothing."""
    world.promote(1)
    if promoted_before:
        world.promote(2)
    for _ in range(2):
        given = world.force(2)
        assert (given.champion, given.previous, given.actor) == (2, 1, "Ann")
    journal = read_journal(world.store, MODEL)
    assert [change.forced for change in journal.changes] == ([False] * 3 if promoted_before else [False, True])
    decision = world.aliases.decision(2)
    assert promoted_before == (decision is None)
    world.served_worse()
    assert world.watch().outcome == "needs-person"


def test_what_it_served_before_it_was_rolled_back_is_not_held_against_it(world: World) -> None:
    for version in (1, 2):
        world.promote(version)
    world.served_worse()
    assert world.watch().outcome == "rolled-back"
    world.force(2)
    found = world.watch()
    assert (found.outcome, found.text) == ("kept", "v2 answered 0 texts; 100 are needed.")


def test_a_champion_is_watched_for_its_first_hours_and_compared_with_as_many(world: World) -> None:
    world.promote(1)
    world.promote(2)
    world.serve(ServedCounts(1, requests=200), hours_ago=3)
    world.serve(ServedCounts(2, requests=200, errors=100))
    short = RollbackConfig(enabled=True, hours=1)
    assert world.watch(short).text == "v1 answered 0 texts; 100 are needed."
    assert world.watch(short, hours_later=2).text == (
        "v2 has been champion for longer than 1 hours, and is not watched any more."
    )
    assert world.watch().outcome == "rolled-back"
