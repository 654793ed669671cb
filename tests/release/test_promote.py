"""Promotion is one compare-and-set; whatever happens there is one champion, and the aliases follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.errors import DamageError, InputError, NotFoundError, NotPromotedError
from mtl.release.aliases import MemoryAliases
from mtl.release.journal import read_journal
from mtl.release.promote import Promotion, promote, reconcile, rollback
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy


class Killed(BaseException):
    """What a process does on SIGKILL, as far as the store can see."""


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    store = MemoryStore()
    for version in (1, 2, 3):
        publish_toy(store, tmp_path, version)
    return store


@pytest.fixture
def aliases() -> MemoryAliases:
    return MemoryAliases()


def go(store: MemoryStore, aliases: MemoryAliases, version: int, expected: int | None, **more: Any) -> Promotion:
    arguments = {"reason": "better on mcq", "actor": "gate", **more}
    return promote(store, version, model=MODEL, expected=expected, aliases=aliases, **arguments)


def back(store: MemoryStore, aliases: MemoryAliases, **more: Any) -> Promotion:
    return rollback(store, model=MODEL, reason="bad keys", actor="ann", aliases=aliases, **more)


def test_champion_moves_and_previous_follows(store: MemoryStore, aliases: MemoryAliases) -> None:
    assert go(store, aliases, 1, None).previous is None
    done = go(store, aliases, 2, 1)
    assert (done.version, done.previous, done.changed) == (2, 1, True)
    assert aliases.aliases() == {"champion": 2, "previous": 1}
    head = read_journal(store, MODEL).head
    assert head is not None
    assert (head.kind, head.version, head.replaced, head.reason, head.actor, head.forced) == (
        "promote",
        2,
        1,
        "better on mcq",
        "gate",
        False,
    )


def test_promoting_the_champion_again_changes_nothing(store: MemoryStore, aliases: MemoryAliases) -> None:
    go(store, aliases, 1, None)
    assert not go(store, aliases, 1, None).changed
    assert read_journal(store, MODEL).seq == 1


def test_a_candidate_judged_against_an_older_champion_is_not_promoted(
    store: MemoryStore, aliases: MemoryAliases
) -> None:
    go(store, aliases, 1, None)
    go(store, aliases, 2, 1)
    with pytest.raises(NotPromotedError, match="v3 was judged against v1, but the champion is v2 now"):
        go(store, aliases, 3, 1)
    with pytest.raises(NotPromotedError, match="against no champion"):
        go(store, aliases, 3, None)


def test_of_two_at_once_one_wins(store: MemoryStore, aliases: MemoryAliases) -> None:
    go(store, aliases, 1, None)
    raced: list[str] = []

    def race(operation: str, key: str) -> None:
        if operation == "put_if_absent" and key.endswith("2.json") and not raced:
            raced.append(key)
            go(store, aliases, 3, 1)

    store.before = race
    with pytest.raises(NotPromotedError, match="v2 was judged against v1, but the champion is v3 now"):
        go(store, aliases, 2, 1)
    assert aliases.aliases() == {"champion": 3, "previous": 1}


def test_a_promotion_on_top_of_this_one_while_it_is_written_is_no_failure(
    store: MemoryStore, aliases: MemoryAliases
) -> None:
    raced: list[str] = []

    def race(operation: str, key: str) -> None:
        if operation == "put_if_absent" and key.endswith("1.json") and not raced:
            raced.append(key)
            go(store, aliases, 2, 1)

    store.after = race
    assert go(store, aliases, 1, None).changed
    assert aliases.aliases() == {"champion": 2, "previous": 1}


def test_a_writer_that_slept_while_its_number_was_deleted_does_not_believe_itself(
    store: MemoryStore, aliases: MemoryAliases
) -> None:
    go(store, aliases, 1, None)
    slept: list[str] = []

    def sleep(operation: str, key: str) -> None:
        if operation == "put_if_absent" and key.endswith("2.json") and not slept:
            slept.append(key)
            go(store, aliases, 2, 1)
            go(store, aliases, 1, 2)
            store.delete(key)

    store.before = sleep
    with pytest.raises(NotPromotedError, match="v3 was judged against v1, but the champion is v1 now"):
        go(store, aliases, 3, 1)


def test_rollback_goes_back_and_twice_goes_further_back(store: MemoryStore, aliases: MemoryAliases) -> None:
    for version, expected in ((1, None), (2, 1), (3, 2)):
        go(store, aliases, version, expected)
    assert (back(store, aliases).version, aliases.aliases()) == (2, {"champion": 2, "previous": 1})
    assert (back(store, aliases).version, aliases.aliases()) == (1, {"champion": 1})
    with pytest.raises(NotFoundError, match="toy has no previous champion to roll back to\n  champion: v1"):
        back(store, aliases)


def test_a_repeated_rollback_of_the_same_champion_goes_back_once(store: MemoryStore, aliases: MemoryAliases) -> None:
    for version, expected in ((1, None), (2, 1), (3, 2)):
        go(store, aliases, version, expected)
    assert back(store, aliases, expected=3).changed
    assert not back(store, aliases, expected=3).changed
    with pytest.raises(NotPromotedError, match="the champion is v2 now"):
        back(store, aliases, expected=1)


def test_what_a_person_rolled_back_no_schedule_promotes_again(store: MemoryStore, aliases: MemoryAliases) -> None:
    go(store, aliases, 1, None)
    go(store, aliases, 2, 1)
    back(store, aliases)
    with pytest.raises(NotPromotedError, match=r"v2 was rolled back on .* by ann: bad keys\n.*--force"):
        go(store, aliases, 2, 1)
    forced = go(store, aliases, 2, 1, forced=True, reason="keys mended", actor="bob")
    assert (forced.change.forced, forced.change.reason, forced.change.actor) == (True, "keys mended", "bob")
    assert read_journal(store, MODEL).given_up(2) is None


def test_a_damaged_release_is_not_promoted(store: MemoryStore, aliases: MemoryAliases) -> None:
    store.put("releases/toy/v1/tokenizer.json", b"[]")
    with pytest.raises(DamageError, match=r"tokenizer\.json is damaged"):
        go(store, aliases, 1, None)
    assert (read_journal(store, MODEL).head, aliases.aliases()) == (None, {})


def test_an_unpublished_version_is_not_promoted(store: MemoryStore, aliases: MemoryAliases) -> None:
    with pytest.raises(NotFoundError, match=r"no release v9(.|\n)*known: v1, v2, v3"):
        go(store, aliases, 9, None)


def test_a_reason_is_needed(store: MemoryStore, aliases: MemoryAliases) -> None:
    with pytest.raises(InputError, match="a promote needs a reason"):
        go(store, aliases, 1, None, reason=" ", forced=True)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", range(60))
def test_killed_at_any_call_there_is_the_old_or_the_new_champion_and_the_next_run_finishes(
    tmp_path: Path, moment: str, call: int
) -> None:
    store, aliases = MemoryStore(), MemoryAliases()
    for version in (1, 2):
        publish_toy(store, tmp_path, version)
    go(store, aliases, 1, None)
    count = 0

    def kill(operation: str, key: str) -> None:
        nonlocal count
        count += 1
        if count == call + 1:
            raise Killed

    setattr(store, moment, kill)
    try:
        go(store, aliases, 2, 1)
        finished = True
    except Killed:
        finished = False
    setattr(store, moment, lambda operation, key: None)
    journal = read_journal(store, MODEL)
    assert journal.champion in (1, 2)
    assert journal.champion == 2 or not finished
    done = go(store, aliases, 2, 1)
    assert (done.version, read_journal(store, MODEL).seq) == (2, 2)
    assert aliases.aliases() == {"champion": 2, "previous": 1}


def test_aliases_that_were_left_behind_are_mended(store: MemoryStore, aliases: MemoryAliases) -> None:
    go(store, aliases, 1, None)
    go(store, aliases, 2, 1)
    aliases.set_alias("champion", 1)
    aliases.set_alias("previous", None)
    assert reconcile(store, model=MODEL, aliases=aliases) == {"champion": 2, "previous": 1}
    assert reconcile(store, model=MODEL, aliases=aliases) == {}
    assert reconcile(store, model="another", aliases=MemoryAliases()) == {}


def test_no_promotion_while_the_registry_is_away(store: MemoryStore) -> None:
    class Away(MemoryAliases):
        def aliases(self) -> dict[str, int]:
            raise ConnectionError

    go(store, MemoryAliases(), 1, None)
    with pytest.raises(ConnectionError):
        go(store, Away(), 2, 1)
    assert read_journal(store, MODEL).champion == 1


def test_a_rotted_entry_is_loud(store: MemoryStore, aliases: MemoryAliases) -> None:
    go(store, aliases, 1, None)
    key = "releases/toy/log/000000000001.json"
    store.put(key, store.get(key).replace(b'"version":1', b'"version":3'))
    with pytest.raises(DamageError, match=key):
        go(store, aliases, 2, 1)
