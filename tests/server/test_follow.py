"""The server follows the champion: what is promoted answers, and what does not load changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mtl.release.aliases import MemoryAliases
from mtl.release.journal import read_journal
from mtl.release.promote import promote, rollback
from mtl.release.publish import publish
from mtl.server.follow import FollowedChampion
from mtl.serving.generate import load_generator
from mtl.store.folder import FolderStore
from tests.release.toy import MODEL, facts
from tests.support.trained import trained_model

TEXT = "Anna missed the ferry."


class Releases:
    """A store with releases of the tests' tiny model, each of which answers differently."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FolderStore(folder / "store")

    def publish(self, version: int) -> None:
        adapter = trained_model(self.folder / f"v{version}", seed=version)
        publish(self.store, adapter, model=MODEL, version=version, facts=facts(f"{version:064}"))

    def promote(self, version: int) -> None:
        expected = read_journal(self.store, MODEL).champion
        promote(
            self.store,
            version,
            model=MODEL,
            expected=expected,
            reason="better",
            actor="gate",
            aliases=MemoryAliases(),
            forced=True,
        )

    def roll_back(self) -> None:
        rollback(self.store, model=MODEL, reason="worse", actor="anna", aliases=MemoryAliases())

    def answer(self, version: int) -> str:
        return load_generator(self.folder / f"v{version}").generate([TEXT])[0].text


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    made = Releases(tmp_path)
    for version in (1, 2):
        made.publish(version)
    made.promote(1)
    return made


@pytest.fixture
def champion(releases: Releases) -> Iterator[FollowedChampion]:
    with FollowedChampion(releases.store, MODEL, cache=releases.folder / "cache", every=3600) as found:
        yield found


def test_a_promotion_and_a_rollback_are_followed(releases: Releases, champion: FollowedChampion) -> None:
    first = champion.current()
    assert (first.version, first.seq) == (1, 1)
    releases.promote(2)
    champion.look()
    second = champion.current()
    assert (second.version, second.seq) == (2, 2)
    assert first.generator.generate([TEXT])[0].text == releases.answer(1)
    assert second.generator.generate([TEXT])[0].text == releases.answer(2) != releases.answer(1)
    releases.roll_back()
    champion.look()
    assert (champion.health()["version"], champion.health()["seq"]) == (1, 3)
    assert champion.current().generator.generate([TEXT])[0].text == releases.answer(1)
