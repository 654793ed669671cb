"""A champion alias that a person moved becomes an entry; one that a killed promotion left behind does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.release.aliases import MemoryAliases
from mtl.release.journal import Change, read_journal
from mtl.release.promote import MOVED_BY, follow, promote, rollback
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy


class Killed(BaseException):
    """What a process does on SIGKILL, as far as the registry can see."""


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    store = MemoryStore()
    for version in (1, 2, 3):
        publish_toy(store, tmp_path, version)
    return store


@pytest.fixture
def aliases(store: MemoryStore) -> MemoryAliases:
    """v1, then v2 as champion."""
    aliases = MemoryAliases()
    go(store, aliases, 1, None)
    go(store, aliases, 2, 1)
    return aliases


def go(store: MemoryStore, aliases: MemoryAliases, version: int, expected: int | None, **more: Any) -> None:
    promote(store, version, model=MODEL, expected=expected, reason="better", actor="gate", aliases=aliases, **more)


def head(store: MemoryStore) -> Change:
    found = read_journal(store, MODEL).head
    assert found is not None
    return found


def test_a_move_to_another_version_is_a_forced_promotion(store: MemoryStore, aliases: MemoryAliases) -> None:
    aliases.set_alias("champion", 3)
    followed = follow(store, model=MODEL, aliases=aliases)
    assert followed.adopted == head(store)
    change = head(store)
    assert (change.kind, change.version, change.replaced, change.actor, change.forced) == (
        "promote",
        3,
        2,
        MOVED_BY,
        True,
    )
    assert "moved to v3 in MLflow" in change.reason
    assert aliases.aliases() == {"champion": 3, "previous": 2}
    assert follow(store, model=MODEL, aliases=aliases).adopted is None


def test_a_move_to_the_previous_champion_is_a_rollback(store: MemoryStore, aliases: MemoryAliases) -> None:
    aliases.set_alias("champion", 1)
    follow(store, model=MODEL, aliases=aliases)
    assert (head(store).kind, head(store).version) == ("rollback", 1)
    assert aliases.aliases() == {"champion": 1}


def test_a_first_champion_can_be_named_by_hand(store: MemoryStore) -> None:
    aliases = MemoryAliases()
    aliases.set_alias("champion", 2)
    follow(store, model=MODEL, aliases=aliases)
    assert (head(store).version, head(store).replaced) == (2, None)


def test_a_version_without_a_whole_release_does_not_become_champion(store: MemoryStore, aliases: MemoryAliases) -> None:
    aliases.set_alias("champion", 9)
    followed = follow(store, model=MODEL, aliases=aliases)
    assert followed.refused is not None and "no release v9" in followed.refused
    assert (followed.mended, aliases.aliases()["champion"]) == ({"champion": 2}, 2)
    store.put("releases/toy/v3/tokenizer.json", b"[]")
    aliases.set_alias("champion", 3)
    damaged = follow(store, model=MODEL, aliases=aliases).refused
    assert damaged is not None and "tokenizer.json is damaged" in damaged
    assert head(store).version == 2


def test_an_alias_that_was_removed_comes_back(store: MemoryStore, aliases: MemoryAliases) -> None:
    aliases.set_alias("champion", None)
    assert follow(store, model=MODEL, aliases=aliases).mended == {"champion": 2}


def test_the_next_promotion_sees_the_move_first(store: MemoryStore, aliases: MemoryAliases) -> None:
    aliases.set_alias("champion", 1)
    back = rollback(store, model=MODEL, reason="x", actor="ann", aliases=aliases, expected=2)
    assert not back.changed, "the person has done already what was asked"
    aliases.set_alias("champion", 3)
    with pytest.raises(Exception, match="judged against v1, but the champion is v3 now"):
        go(store, aliases, 2, 1, forced=True)


@pytest.mark.parametrize("call", range(3))
def test_aliases_that_a_killed_promotion_left_behind_are_no_wish(store: MemoryStore, call: int) -> None:
    class Mortal(MemoryAliases):
        left = 99

        def _live(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise Killed

        def set_alias(self, alias: str, version: int | None) -> None:
            self._live()
            super().set_alias(alias, version)

        def set_synced(self, seq: int | None) -> None:
            self._live()
            super().set_synced(seq)

    aliases = Mortal()
    go(store, aliases, 1, None)
    go(store, aliases, 2, 1)
    aliases.left = call
    with pytest.raises(Killed):
        go(store, aliases, 3, 2)
    aliases.left = 99
    assert follow(store, model=MODEL, aliases=aliases).adopted is None
    assert (head(store).version, aliases.aliases()) == (3, {"champion": 3, "previous": 2})
    assert [change.actor for change in read_journal(store, MODEL).changes] == ["gate"] * 3
