"""A lost, replaced or damaged entry is never silent, and can be filled in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.errors import DamageError, InputError, NotFoundError, NotPromotedError
from mtl.fingerprint import sha256_json
from mtl.release.aliases import MemoryAliases
from mtl.release.journal import read_journal
from mtl.release.promote import follow, promote, rollback
from mtl.release.pull import pull
from mtl.release.repair import repair_journal
from mtl.store.base import ObjectStore
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy

LAST = 5
CHAMPIONS = [1, 2, 3, 2, 4]
"""v3 was rolled back by a person; v4 is champion, v2 the previous one."""
LAST_ENTRY = f"releases/{MODEL}/last-entry.json"


def key(seq: int) -> str:
    return f"releases/{MODEL}/log/{seq:012}.json"


@pytest.fixture
def aliases() -> MemoryAliases:
    return MemoryAliases()


@pytest.fixture
def store(tmp_path: Path, aliases: MemoryAliases) -> MemoryStore:
    store = MemoryStore()
    for version in (1, 2, 3, 4):
        publish_toy(store, tmp_path, version)
    for version, expected in ((1, None), (2, 1), (3, 2)):
        go(store, aliases, version, expected)
    rollback(store, model=MODEL, reason="bad keys", actor="ann", aliases=aliases)
    go(store, aliases, 4, 2)
    assert champions(store) == CHAMPIONS
    return store


def go(store: ObjectStore, aliases: MemoryAliases, version: int, expected: int | None) -> None:
    promote(store, version, model=MODEL, expected=expected, reason="better", actor="gate", aliases=aliases)


def champions(store: ObjectStore) -> list[int]:
    return [change.version for change in read_journal(store, MODEL).changes]


def without_chain(store: ObjectStore) -> None:
    """Make the journal one that was written before entries named their place, their number and the one before."""
    for seq in range(1, LAST + 1):
        document = json.loads(store.get(key(seq)))
        document = {name: value for name, value in document.items() if name not in ("seq", "after", "key", "check")}
        store.put(key(seq), json.dumps(document | {"check": sha256_json(document)}).encode())
    store.delete(LAST_ENTRY)


def lose(store: ObjectStore, seq: int) -> None:
    store.delete(key(seq))


def damage(store: ObjectStore, seq: int) -> None:
    store.put(key(seq), store.get(key(seq)).replace(b'"version":', b'"version":1'))


def replace_by_older(store: ObjectStore, seq: int) -> None:
    store.put(key(seq), store.get(key(seq - 1 or LAST)))


FAULTS = [lose, damage, replace_by_older]
Fault = Callable[[ObjectStore, int], None]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seq", range(1, LAST + 1))
def test_every_entry_is_missed(
    store: MemoryStore, aliases: MemoryAliases, tmp_path: Path, seq: int, fault: Fault, old: bool
) -> None:
    if old:
        without_chain(store)
    fault(store, seq)
    with pytest.raises(DamageError, match=rf"{key(seq)}(.|\n)*mtl repair-journal"):
        follow(store, model=MODEL, aliases=aliases)
    with pytest.raises(DamageError, match=key(seq)):
        rollback(store, model=MODEL, reason="x", actor="ann", aliases=aliases)
    with pytest.raises(DamageError, match=key(seq)):
        go(store, aliases, 3, 2)
    assert aliases.aliases() == {"champion": 4, "previous": 2}
    if not (old and seq == LAST and fault is lose):  # then MLflow alone knows of the entry
        with pytest.raises(DamageError, match=key(seq)):
            pull(store, "champion", tmp_path / "pulled", model=MODEL)


@pytest.mark.parametrize("count", range(1, LAST + 1))
def test_the_newest_entries_are_missed(store: MemoryStore, aliases: MemoryAliases, count: int) -> None:
    for seq in range(LAST, LAST - count, -1):
        lose(store, seq)
    with pytest.raises(
        DamageError, match=r"log/000000000005\.json is lost: .*last-entry\.json names entry 5(.|\n)*repair"
    ):
        read_journal(store, MODEL)
    store.delete(LAST_ENTRY)
    with pytest.raises(DamageError, match=r"log/000000000005\.json is lost: .* MLflow's tag journal_seq names entry 5"):
        follow(store, model=MODEL, aliases=aliases)


def test_an_old_journal_goes_on_with_the_chain(store: MemoryStore, aliases: MemoryAliases) -> None:
    without_chain(store)
    rollback(store, model=MODEL, reason="worse", actor="ann", aliases=aliases)
    assert champions(store) == [*CHAMPIONS, 2]
    document = json.loads(store.get(key(6)))
    assert (document["seq"], document["after"]) == (6, json.loads(store.get(key(5)))["check"])
    damage(store, 5)
    with pytest.raises(DamageError, match=key(5)):
        read_journal(store, MODEL)


def test_a_damaged_note_of_the_last_entry_is_damage(store: MemoryStore, aliases: MemoryAliases) -> None:
    store.put(LAST_ENTRY, store.get(LAST_ENTRY).replace(b"5", b"1"))
    with pytest.raises(DamageError, match=r"last-entry\.json is damaged(.|\n)*mtl repair-journal"):
        read_journal(store, MODEL)
    assert mend(store, aliases) == ()
    assert champions(store) == CHAMPIONS


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b'{"seq": Infinity, "check": ""}', b"\xff"]
)
def test_garbage_in_the_note_of_the_last_entry_is_damage(store: MemoryStore, data: bytes) -> None:
    store.put(LAST_ENTRY, data)
    with pytest.raises(DamageError, match=r"last-entry\.json is damaged"):
        read_journal(store, MODEL)


def mend(
    store: ObjectStore, aliases: MemoryAliases, champion: int | None = None, *, reason: str = "a disk died"
) -> tuple[int, ...]:
    repaired = repair_journal(store, model=MODEL, champion=champion, reason=reason, actor="bob", aliases=aliases)
    return repaired.entries


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seq", range(1, LAST + 1))
def test_every_entry_can_be_filled_in(
    store: MemoryStore, aliases: MemoryAliases, seq: int, fault: Fault, old: bool
) -> None:
    before = read_journal(store, MODEL).changes[seq - 1]
    if old:
        without_chain(store)
    fault(store, seq)
    assert mend(store, aliases, 4 if seq == LAST else None) == (seq,)
    filled = read_journal(store, MODEL).changes[seq - 1]
    assert (filled.kind, filled.version, filled.previous, filled.replaced, filled.manifest_sha256) == (
        before.kind,
        before.version,
        before.previous,
        before.replaced,
        before.manifest_sha256,
    )
    assert (filled.actor, filled.reason) == ("bob", "this entry was lost and is filled in: a disk died")
    kept = [info.key for info in store.list(f"releases/{MODEL}/log-damaged/")]
    assert len(kept) == (fault is not lose)
    assert follow(store, model=MODEL, aliases=aliases).adopted is None
    assert aliases.aliases() == {"champion": 4, "previous": 2}
    with pytest.raises(NotPromotedError, match="v3 was rolled back"):
        go(store, aliases, 3, 4)
    rollback(store, model=MODEL, reason="worse", actor="ann", aliases=aliases)
    assert aliases.aliases() == {"champion": 2, "previous": 1}
    assert mend(store, aliases) == ()


@pytest.mark.parametrize("lost", [(1, 2), (2, 3), (3, 4), (4, 5), (1, 2, 3, 4), (2, 4), (1, 2, 3, 4, 5)])
def test_several_entries_can_be_filled_in(store: MemoryStore, aliases: MemoryAliases, lost: tuple[int, ...]) -> None:
    for seq in lost:
        lose(store, seq)
    assert mend(store, aliases, 4 if LAST in lost else None) == lost
    journal = read_journal(store, MODEL)
    assert (journal.champion, journal.seq) == (4, LAST)
    follow(store, model=MODEL, aliases=aliases)
    assert aliases.aliases()["champion"] == 4
    while journal.previous is not None:
        previous = journal.previous
        rollback(store, model=MODEL, reason="worse", actor="ann", aliases=aliases)
        journal = read_journal(store, MODEL)
        assert journal.champion == previous != journal.previous


def test_a_person_says_who_is_champion_if_the_last_entry_is_lost(store: MemoryStore, aliases: MemoryAliases) -> None:
    with pytest.raises(InputError, match="the last entry of the journal of toy is whole"):
        mend(store, aliases, 3)
    lose(store, LAST)
    with pytest.raises(
        InputError, match=r"000000000005\.json is lost or damaged, and with it who is champion\n.*--champion"
    ):
        mend(store, aliases)
    with pytest.raises(NotFoundError, match="no release v9"):
        mend(store, aliases, 9)
    with pytest.raises(InputError, match="a repair needs a reason"):
        mend(store, aliases, 4, reason=" ")
    assert mend(store, aliases, 2) == (LAST,)
    assert follow(store, model=MODEL, aliases=aliases).adopted is None
    assert aliases.aliases() == {"champion": 2, "previous": 1}


def test_the_registry_of_another_store_is_no_lost_journal(store: MemoryStore, aliases: MemoryAliases) -> None:
    aliases.set_synced(70000)
    with pytest.raises(DamageError, match=r"would end with entry 70000(.|\n)*is MTL_STORE the store"):
        mend(store, aliases, 4)


@pytest.mark.parametrize("call", range(6))
def test_a_killed_repair_can_be_done_again(store: MemoryStore, aliases: MemoryAliases, call: int) -> None:
    without_chain(store)
    for seq in (2, LAST):
        lose(store, seq)
    left = call

    def kill(operation: str, key: str) -> None:
        nonlocal left
        left -= operation == "put"
        if left < 0:
            raise KeyboardInterrupt

    store.before = kill
    try:
        mend(store, aliases, 2)
    except KeyboardInterrupt:
        store.before = lambda operation, key: None
        mend(store, aliases, 2)
    store.before = lambda operation, key: None
    assert champions(store) == [1, 2, 3, 2, 2]
    assert aliases.aliases() == {"champion": 2, "previous": 1}


def test_a_stray_entry_with_a_huge_number_is_a_gap(store: MemoryStore, aliases: MemoryAliases) -> None:
    without_chain(store)
    store.put(key(999_999_999_999), store.get(key(LAST)))
    with pytest.raises(DamageError, match=r"log/000000000006\.json is lost"):
        read_journal(store, MODEL)
    with pytest.raises(DamageError, match="would end with entry 999999999999"):
        mend(store, aliases, 4)


def test_there_is_nothing_to_repair_in_no_journal() -> None:
    store = MemoryStore()
    assert mend(store, MemoryAliases()) == ()
    assert list(store.list("")) == []
