"""The server follows the champion: what is promoted answers, and what does not load changes nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mtl.errors import NotFoundError, TransientError
from mtl.layout import release_manifest_key, release_prefix
from mtl.server.follow import FollowedChampion
from mtl.store.folder import FolderStore
from tests.release.toy import MODEL
from tests.support.served import TEXT, Releases, until
from tests.support.trained import trained_model


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """v1, v2 and v3, of which v1 is champion."""
    made = Releases(tmp_path, FolderStore(tmp_path / "store"))
    for version in (1, 2, 3):
        made.publish(version)
    made.promote(1)
    return made


class Told:
    """What people were told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []

    def __call__(self, event: str, payload: Mapping[str, Any]) -> None:
        self.events.append((event, payload))

    def wait(self, count: int) -> list[tuple[str, Any]]:
        """(event, version) of all events, once there are so many."""
        until(lambda: len(self.events) >= count, seconds=10)
        return [(event, payload["version"]) for event, payload in self.events]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def champion(releases: Releases, told: Told) -> Iterator[FollowedChampion]:
    """It looks when the test says so."""
    with FollowedChampion(releases.store, MODEL, cache=releases.folder / "cache", on_event=told, every=3600) as found:
        yield found


def answer(champion: FollowedChampion) -> str:
    return champion.current().generator.generate([TEXT])[0].text


def test_a_promotion_and_a_rollback_are_followed(releases: Releases, champion: FollowedChampion, told: Told) -> None:
    first = champion.current()
    assert (first.version, first.seq) == (1, 1)
    releases.promote(2)
    champion.look()
    assert (champion.current().version, champion.current().seq) == (2, 2)
    assert answer(champion) == releases.answer(2)
    assert first.generator.generate([TEXT])[0].text == releases.answer(1) != releases.answer(2)
    releases.roll_back()
    champion.look()
    assert answer(champion) == releases.answer(1)
    health = dict(champion.health())
    assert health.pop("since") >= first.since
    assert health == {"model": MODEL, "version": 1, "seq": 3, "fault": None}
    assert told.wait(2) == [("server.switched", 2), ("server.switched", 1)]
    assert told.events[1][1]["reason"] == "worse"


def test_a_new_entry_for_the_same_version_loads_nothing(releases: Releases, champion: FollowedChampion) -> None:
    before = champion.current()
    releases.promote(2)
    releases.roll_back()
    champion.look()
    assert champion.current().generator is before.generator
    assert champion.current().seq == 3


def flip_a_bit(releases: Releases, version: int) -> None:
    path = releases.folder / "store" / release_prefix(MODEL, version) / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def lose_the_manifest(releases: Releases, version: int) -> None:
    (releases.folder / "store" / release_manifest_key(MODEL, version)).unlink()


def change_the_base(releases: Releases, version: int) -> None:
    """Published in good order, but its weights are of another shape than its base."""
    import json

    folder = releases.folder / "store" / release_prefix(MODEL, version)
    assert json.loads((folder / "mtl_model.json").read_text())


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (flip_a_bit, "damage", "adapter_model.safetensors"),
        (lose_the_manifest, "damage", "manifest.json"),
    ],
)
def test_a_damaged_release_is_reported_and_the_old_one_goes_on(
    releases: Releases,
    champion: FollowedChampion,
    told: Told,
    caplog: pytest.LogCaptureFixture,
    damage: Any,
    kind: str,
    message: str,
) -> None:
    releases.promote(2)
    damage(releases, 2)
    for _ in range(3):
        champion.look()
    assert answer(champion) == releases.answer(1)
    health = champion.health()
    assert (health["version"], health["fault"]["version"], health["fault"]["kind"]) == (1, 2, kind)
    assert message in health["fault"]["message"]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1  # the next try, and the next line, come later
    assert message in errors[0]
    assert told.wait(1) == [("server.failed", 2)]
    assert told.events[0][1]["serving"] == 1
    releases.roll_back()
    champion.look()
    assert champion.health()["fault"] is None
    releases.promote(3)
    champion.look()
    assert answer(champion) == releases.answer(3)
