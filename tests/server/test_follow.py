"""The server follows the champion: what is promoted answers, and what does not load changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mtl.errors import DamageError, NotFoundError, TransientError
from mtl.layout import SIGNATURE, release_manifest_key, release_prefix
from mtl.release.publish import publish
from mtl.server.alarm import Alarm, Fault, as_fault, pause
from mtl.server.follow import FollowedChampion
from mtl.serving.generate import Generator
from mtl.store.folder import FolderStore
from tests.release.toy import MODEL, facts
from tests.support.keys import Keys, keys
from tests.support.served import TEXT, Releases, until
from tests.support.trained import trained_model

__all__ = ["keys"]


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """v1, which is champion, and v2."""
    made = Releases(tmp_path, FolderStore(tmp_path / "store"))
    for version in (1, 2):
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


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (flip_a_bit, "damage", "adapter_model.safetensors"),
        (lose_the_manifest, "not_found", "no release v2 of toy"),
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
    assert {**champion.health(), "since": ""} == {"model": MODEL, "version": 1, "seq": 3, "since": "", "fault": None}


def test_an_unsigned_release_is_not_served_where_a_signature_is_required(keys: Keys, tmp_path: Path) -> None:
    made = Releases(tmp_path, FolderStore(tmp_path / "store"))
    made.publish(1)
    made.publish(2)
    made.promote(1)
    keys.env.setenv("MTL_REQUIRE_SIGNATURE", "1")
    with FollowedChampion(made.store, MODEL, cache=tmp_path / "cache", every=3600) as champion:
        made.promote(2)
        (tmp_path / "store" / release_prefix(MODEL, 2) / SIGNATURE).unlink()
        champion.look()
        health = champion.health()
    assert (health["version"], health["fault"]["version"], health["fault"]["kind"]) == (1, 2, "signature")
    assert "releases/toy/v2 is not signed" in health["fault"]["message"]


def test_a_library_that_fails_is_a_fault_like_any_other(
    releases: Releases, champion: FollowedChampion, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """A release in good order whose adapter does not fit its base."""
    folder = trained_model(releases.folder / "v4", base="demo")
    for name in ("adapter_config.json", "mtl_model.json"):
        (folder / name).write_bytes((releases.folder / "v1" / name).read_bytes())
    publish(releases.store, folder, model=MODEL, version=4, facts=facts(f"{4:064}"))
    releases.promote(4)
    champion.look()
    assert answer(champion) == releases.answer(1)
    fault = champion.health()["fault"]
    assert (fault["kind"], fault["message"]) == ("internal", "RuntimeError")
    assert "size mismatch" in caplog.text
    assert told.wait(1) == [("server.failed", 4)]
    releases.promote(2)
    champion.look()
    assert answer(champion) == releases.answer(2)
    assert champion.health()["fault"] is None


def test_a_store_that_is_away_is_reported_until_it_is_back(releases: Releases, champion: FollowedChampion) -> None:
    store, away = releases.folder / "store", releases.folder / "away"
    store.rename(away)
    champion.look()
    fault = champion.health()["fault"]
    assert (fault["kind"], fault["version"]) == ("transient", None)
    assert "holds 0 entries of the journal of toy, and held 1" in fault["message"]
    assert answer(champion) == releases.answer(1)
    away.rename(store)
    champion.look()
    assert champion.health()["fault"] is None


def test_what_was_champion_only_while_it_was_loaded_is_never_served(
    releases: Releases, champion: FollowedChampion, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = champion.current()
    releases.promote(2)
    tried = Generator.try_out

    def tried_and_rolled_back(generator: Generator) -> None:
        tried(generator)
        releases.roll_back()

    monkeypatch.setattr(Generator, "try_out", tried_and_rolled_back)
    champion.look()
    assert champion.current() is before
    champion.look()
    assert (champion.current().generator, champion.current().seq) == (before.generator, 3)
    assert told.events == []


def test_a_store_that_fails_while_a_champion_is_loaded_costs_no_second_loading(
    releases: Releases, champion: FollowedChampion, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, away = releases.folder / "store", releases.folder / "away"
    releases.promote(2)
    tried, loaded = Generator.try_out, []

    def tried_and_lost(generator: Generator) -> None:
        tried(generator)
        loaded.append(generator)
        store.rename(away)

    monkeypatch.setattr(Generator, "try_out", tried_and_lost)
    champion.look()
    champion.look()
    fault = champion.health()["fault"]
    assert (fault["kind"], fault["version"]) == ("transient", None)
    assert answer(champion) == releases.answer(1)
    away.rename(store)
    champion.look()
    assert [champion.current().generator] == loaded
    assert (champion.current().version, champion.health()["fault"]) == (2, None)
    assert told.wait(1) == [("server.switched", 2)]


def test_without_a_champion_it_waits_only_if_it_may(tmp_path: Path) -> None:
    made = Releases(tmp_path, FolderStore(tmp_path / "store"))
    with pytest.raises(NotFoundError, match="toy has no champion yet"):
        FollowedChampion(made.store, MODEL, cache=tmp_path / "cache").__enter__()
    told = Told()
    options: Any = {"on_event": told, "wait": True, "every": 0.1}
    with FollowedChampion(made.store, MODEL, cache=tmp_path / "cache", **options) as champion:
        assert champion.health()["fault"]["message"] == "toy has no champion yet"
        assert champion.health()["since"] is None
        with pytest.raises(TransientError, match="toy has no champion yet"):
            champion.current()
        made.publish(1)
        made.promote(1)
        until(lambda: champion.health()["version"] == 1, seconds=60)
    assert told.events == []


def test_an_alarm_is_said_at_growing_intervals_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    told: list[Fault] = []
    alarm = Alarm("it cannot be read", told.append, clock=lambda: now)
    said: list[int] = []
    for second in range(400):
        now = float(second)
        alarm.raised(TransientError("no answer"))
        if len(caplog.records) > len(said):
            said.append(second)
    assert said == [0, 4, 12, 28, 60, 124, 252]
    assert [fault.message for fault in told] == ["no answer"]  # after a minute
    alarm.raised(DamageError("rotten"), version=2)
    assert [fault.kind for fault in told] == ["transient", "damage"]  # at once
    assert alarm.waits(2)
    assert not alarm.waits(3)
    now += 4
    assert not alarm.waits(2)
    alarm.clear()
    assert alarm.fault is None
    assert "no longer so: it cannot be read: rotten" in caplog.text


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            TransientError("no answer from http://anna:pw@proxy:3128", hint="is it up?"),
            "no answer from http://***@proxy:3128",
        ),
        (DamageError("denied for key correct-horse"), "denied for key ***"),
        (PermissionError(13, "denied", "/cache/correct-horse"), "permission denied: /cache/***"),
        (ValueError("correct-horse"), "ValueError"),
    ],
)
def test_a_fault_holds_no_secret(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "correct-horse")
    assert as_fault(error, 3).message == message


@pytest.mark.parametrize(("count", "seconds"), [(1, 4), (2, 8), (7, 256), (8, 300), (1000, 300)])
def test_pauses_grow_to_five_minutes(count: int, seconds: float) -> None:
    assert pause(count) == seconds
