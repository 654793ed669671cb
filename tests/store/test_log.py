"""Log: one winner for each number, lost answers recognised, and the writer that slept."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.errors import DamageError, InputError, TransientError
from mtl.store.base import ObjectStore
from mtl.store.log import Log
from mtl.store.memory import MemoryStore


def test_an_empty_log(store: ObjectStore) -> None:
    log = Log(store, "runs/a/log")
    assert log.head() is None
    assert list(log.entries()) == []
    assert log.read(1) is None


def test_entries_come_back_in_order(store: ObjectStore) -> None:
    log = Log(store, "runs/a/log")
    for seq in (1, 2, 3):
        result = log.append(seq, {"n": seq})
        assert result.stands
        assert result.entry.seq == seq
    assert [entry.document["n"] for entry in log.entries()] == [1, 2, 3]
    head = log.head()
    assert head is not None
    assert (head.seq, head.document["n"]) == (3, 3)
    assert [info.key for info in store.list("")] == [f"runs/a/log/00000000000{n}.json" for n in (1, 2, 3)]
    assert {"n", "key", "write_id", "check"} == set(json.loads(store.get("runs/a/log/000000000001.json")))


def test_a_taken_number_shows_who_has_it(store: ObjectStore) -> None:
    log = Log(store, "log")
    log.append(1, {"who": "a"})
    result = log.append(1, {"who": "b"})
    assert not result.mine
    assert not result.stands
    assert result.entry.document["who"] == "a"


def test_twelve_writers_one_winner(store: ObjectStore) -> None:
    with ThreadPoolExecutor(12) as pool:
        results = list(pool.map(lambda n: Log(store, "log").append(1, {"n": n}), range(12)))
    winners = [n for n, result in enumerate(results) if result.stands]
    assert len(winners) == 1
    assert {result.entry.document["n"] for result in results} == set(winners)


def test_every_writer_gets_in_once_if_all_go_on_trying(store: ObjectStore) -> None:
    def write(n: int) -> None:
        log = Log(store, "log")
        while True:
            head = log.head()
            if log.append(head.seq + 1 if head else 1, {"n": n}).mine:
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(6)))
    entries = list(Log(store, "log").entries())
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert sorted(entry.document["n"] for entry in entries) == [0, 1, 2, 3, 4, 5]


def test_an_own_write_id_on_a_taken_number_is_success(store: ObjectStore) -> None:
    log = Log(store, "log")
    log.append(1, {"write_id": "me-1", "n": 1})
    assert log.append(1, {"write_id": "me-1", "n": 1}).stands


def test_a_writer_that_slept_does_not_believe_itself(store: ObjectStore) -> None:
    """Somebody deleted entry 2 after the log had gone on to 3; the sleeper can put 2 again, and must notice."""
    log = Log(store, "log")
    for seq in (1, 2, 3):
        log.append(seq, {"n": seq})
    store.delete(log.key(2))
    result = log.append(2, {"n": "sleeper"})
    assert result.mine
    assert not result.stands
    assert result.head.document["n"] == 3


def test_a_conflict_without_a_winner_is_tried_again() -> None:
    """S3 may answer 409 to all writers at once."""
    store = MemoryStore()
    answers = [False, False, True]
    whole = store.put_if_absent
    store.put_if_absent = lambda key, data: answers.pop(0) and whole(key, data)  # type: ignore[method-assign]
    assert Log(store, "log").append(1, {}).stands
    store.put_if_absent = lambda key, data: False  # type: ignore[method-assign]
    with pytest.raises(TransientError, match="the store says taken, but holds no such entry"):
        Log(store, "log").append(2, {})


@settings(max_examples=60)
@given(st.data())
def test_any_changed_byte_of_an_entry_is_noticed(data: st.DataObject) -> None:
    store = MemoryStore()
    log = Log(store, "log")
    log.append(1, {"epoch": 3, "commits": [{"step": 10, "metric": 0.5}], "owner": "a"})
    raw = store.get(log.key(1))
    place = data.draw(st.integers(0, len(raw) - 1))
    bit = data.draw(st.integers(0, 7))
    store.put(log.key(1), raw[:place] + bytes([raw[place] ^ (1 << bit)]) + raw[place + 1 :])
    with pytest.raises(DamageError, match=r"log entry log/000000000001\.json is damaged"):
        log.head()


def test_other_objects_are_no_entries_and_numbers_start_at_one(store: ObjectStore) -> None:
    store.put("log/notes.txt", b"x")
    log = Log(store, "log")
    assert log.head() is None
    with pytest.raises(InputError, match="count from 1"):
        log.append(0, {})
