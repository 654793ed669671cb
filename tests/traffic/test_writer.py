"""The request log holds what was sampled, redacted, in parts; it never waits, and says what it lost."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mtl.errors import PermanentError, TransientError
from mtl.store.memory import MemoryStore
from mtl.traffic.records import ServedAnswer
from mtl.traffic.redaction import Redaction
from mtl.traffic.store import read_answers
from mtl.traffic.writer import Bounds, RequestLog, sampled
from tests.support.stores import held
from tests.traffic.test_store import ANSWER

SMALL = Bounds(answers=10, seconds=60)


def answers(number: int) -> list[ServedAnswer]:
    return [replace(ANSWER, id=f"{n:032x}") for n in range(number)]


def started(
    store: MemoryStore, *, share: float = 1.0, bounds: Bounds = SMALL, folder: Path | None = None
) -> RequestLog:
    return RequestLog(store, "m", Redaction(), share=share, bounds=bounds, folder=folder)


def until(true: object, seconds: float = 20.0) -> None:
    """Wait for something that a thread does."""
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_parts_are_written_when_they_are_full_and_at_the_end() -> None:
    store = MemoryStore()
    log = started(store)
    for answer in answers(25):
        log.offer(answer)
    until(lambda: log.state().written == 20)
    log.close()
    keys = [info.key.rpartition("/")[2] for info in store.list("traffic/m/requests/")]
    assert keys == [f"{log.server}-{n}.parquet" for n in (1, 2, 3)]
    assert list(read_answers(store, "m")) == answers(25)
    assert (log.state().accepted, log.state().written, log.state().dropped) == (25, 25, 0)


def test_a_small_part_is_written_when_its_first_answer_has_waited() -> None:
    store = MemoryStore()
    log = started(store, bounds=Bounds(answers=10, seconds=0.05))
    log.offer(ANSWER)
    until(lambda: log.state().written == 1)
    log.close()


def test_the_sample_is_a_function_of_the_id_and_of_the_share_alone() -> None:
    ids = [answer.id for answer in answers(4000)]
    tenth = {one for one in ids if sampled(one, 0.1)}
    assert 300 < len(tenth) < 500
    assert tenth == {one for one in ids if sampled(one, 0.1)}
    assert tenth < {one for one in ids if sampled(one, 0.2)}
    assert not any(sampled(one, 0.0) for one in ids)
    assert all(sampled(one, 1.0) for one in ids)


def test_texts_are_redacted_before_they_are_written() -> None:
    store = MemoryStore()
    log = started(store)
    log.offer(replace(ANSWER, text="Mail anna@example.org.", answer="password=hunter2"))
    log.close()
    (kept,) = read_answers(store, "m")
    assert (kept.text, kept.answer) == ("Mail [email].", "password=[secret]")


def test_a_store_that_hangs_costs_answers_and_no_time(caplog: pytest.LogCaptureFixture) -> None:
    store, healed = MemoryStore(), threading.Event()
    store.before = held(healed)
    log = started(store, bounds=Bounds(answers=10, waiting=20))
    log.offer(ANSWER)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, logger="mtl"):
        for answer in answers(1000):
            log.offer(answer)
    assert time.monotonic() - began < 1
    state = log.state()
    assert state.accepted + state.dropped == 1001
    assert state.dropped > 900
    said = [line for line in caplog.messages if "are dropped until now" in line]
    assert 1 <= len(said) < 12, "the intervals grow"
    log.close(seconds=0.05)  # it does not wait for it at the end either
    assert "they are lost" in caplog.text
    healed.set()


def test_texts_wait_within_bounds_of_memory() -> None:
    store, healed = MemoryStore(), threading.Event()
    store.before = held(healed)
    log = started(store, bounds=Bounds(answers=1, waiting=1000, waiting_bytes=50_000))
    for answer in answers(100):
        log.offer(replace(answer, text="a" * 10_000))
    assert log.state().accepted < 10
    healed.set()
    log.close()


def test_a_store_that_is_away_for_a_while_costs_nothing() -> None:
    store = MemoryStore()
    away = iter([TransientError("away")])

    def refuse(operation: str, key: str) -> None:
        for error in away:
            raise error

    store.before = refuse
    log = started(store)
    for answer in answers(10):
        log.offer(answer)
    until(lambda: log.state().written == 10)
    log.close()


def test_a_store_that_refuses_costs_the_part_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()

    def refuse(operation: str, key: str) -> None:
        raise PermanentError("access denied")

    store.before = refuse
    with caplog.at_level(logging.WARNING, logger="mtl"):
        log = started(store)
        for answer in answers(10):
            log.offer(answer)
        until(lambda: log.state().dropped == 10)
    assert "10 answers are dropped until now" in caplog.text
    store.before = lambda operation, key: None
    log.offer(ANSWER)
    log.close()
    assert log.state().written == 1


def test_a_server_that_ends_in_good_order_leaves_nothing_to_report(tmp_path: Path) -> None:
    log = started(MemoryStore(), folder=tmp_path)
    assert list(tmp_path.iterdir())
    log.offer(ANSWER)
    log.close()
    assert list(tmp_path.iterdir()) == []


_KILLED = """
import sys, time
from pathlib import Path
from tests.traffic.test_writer import answers, started, Bounds, until
from mtl.store.folder import FolderStore
log = started(FolderStore(Path(sys.argv[1])), bounds=Bounds(answers=10), folder=Path(sys.argv[2]))
for answer in answers(27):
    log.offer(answer)
until(lambda: log.state().written == 20)
print("ready", flush=True)
time.sleep(60)
"""


def test_what_a_killed_server_lost_is_told_by_the_next_one_and_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = [sys.executable, "-c", _KILLED, str(tmp_path / "store"), str(tmp_path / "serving")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        running = started(MemoryStore(), folder=tmp_path / "serving")
        assert running.state().lost == 0
        running.close()
        os.kill(server.pid, signal.SIGKILL)
    with caplog.at_level(logging.WARNING, logger="mtl"):
        following = started(MemoryStore(), folder=tmp_path / "serving")
    assert following.state().lost == 7
    assert "its request log lost the 7 answers it had not written" in caplog.text
    following.close()
    again = started(MemoryStore(), folder=tmp_path / "serving")
    assert again.state().lost == 0
    again.close()


def test_a_folder_that_cannot_be_written_costs_the_journal_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    store = MemoryStore()
    with caplog.at_level(logging.WARNING, logger="mtl"):
        log = started(store, folder=tmp_path / "file")
    assert "nothing will say what its request log lost" in caplog.text
    log.offer(ANSWER)
    log.close()
    assert list(read_answers(store, "m")) == [ANSWER]
