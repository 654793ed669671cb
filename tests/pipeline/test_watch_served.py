"""What is compared with what, and a promotion that gets there first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mtl.config.rollback import RollbackConfig
from mtl.pipeline.watch_served import ServedCheck, watch_served
from mtl.registry.base import ModelRegistry
from mtl.registry.memory import MemoryRegistry
from mtl.release.journal import read_journal
from mtl.release.promote import promote
from mtl.settings import load_settings
from mtl.store.memory import MemoryStore
from mtl.tracking.memory import MemoryTracker
from mtl.traffic.records import ServedCounts
from mtl.traffic.store import write_counts
from mtl.workspace import Workspace
from tests.release.toy import MODEL, publish_toy

NOW = datetime.now(UTC)
POLICY = RollbackConfig(enabled=True)


class World:
    """Three released versions in memory; `before_rollback` is a version that is promoted just before a rollback."""

    def __init__(self, folder: Path) -> None:
        self.store, self.aliases, self.before_rollback = MemoryStore(), MemoryRegistry(MODEL), 0
        for version in (1, 2, 3):
            publish_toy(self.store, folder, version)

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

    def serve(self, counts: ServedCounts, *, hours_ago: int = 0) -> None:
        write_counts(self.store, MODEL, f"of-v{counts.version}", NOW - timedelta(hours=hours_ago), [counts])

    def watch(self, policy: RollbackConfig = POLICY, *, hours_later: int = 0) -> ServedCheck:
        workspace = Workspace(load_settings(), self.store, MemoryTracker, self._registry)
        return watch_served(workspace, MODEL, policy, now=datetime.now(UTC) + timedelta(hours=hours_later))

    def _registry(self, workspace: Workspace, model: str) -> ModelRegistry:
        if self.before_rollback:
            version, self.before_rollback = self.before_rollback, 0
            self.promote(version)
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
        world.serve(ServedCounts(version, requests=200, errors=100 * (version - 1)))
    world.before_rollback = 3
    found = world.watch()
    assert (found.outcome, found.champion, read_journal(world.store, MODEL).champion) == ("kept", 2, 3)
    assert found.text == "v2 is not champion any more: somebody else changed it meanwhile, and nothing was done."


def test_a_champion_is_watched_for_its_first_hours_and_compared_with_as_many(world: World) -> None:
    world.promote(1)
    world.promote(2)
    world.serve(ServedCounts(1, requests=200), hours_ago=3)
    world.serve(ServedCounts(2, requests=200, errors=100))
    short = RollbackConfig(enabled=True, hours=1)
    assert world.watch(short).text == "v1 answered 0 requests; 100 are needed."
    assert world.watch(short, hours_later=2).text == (
        "v2 has been champion for longer than 1 hours, and is not watched any more."
    )
    assert world.watch().outcome == "rolled-back"
