"""RequestLog: a sample of the answers of a server, written to the store in parts by a thread of its own.

    log = RequestLog(store, "mtl-flan-t5", Redaction(), share=0.1)
    log.offer(answer)    # returns at once, whatever the store does
    log.close()

What waits is bounded. Beyond the bound, and when the store refuses a part, answers are dropped and counted.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sys import getsizeof
from uuid import uuid4

from mtl.errors import TransientError
from mtl.layout import request_part_key
from mtl.store.base import ObjectStore
from mtl.traffic.journal import Journal, left_behind
from mtl.traffic.records import ServedAnswer
from mtl.traffic.redaction import Redaction
from mtl.traffic.store import part_of

_log = logging.getLogger(__name__)
_CLOSING_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


def new_server_name() -> str:
    """A name that no other start of a server has."""
    return uuid4().hex[:16]


@dataclass(frozen=True, slots=True)
class Bounds:
    """answers, text_bytes: of one part. seconds: after which a part is written though it is small. waiting,
    waiting_bytes: what memory holds until it is written."""

    answers: int = 500
    text_bytes: int = 8 << 20
    seconds: float = 60.0
    waiting: int = 2000
    waiting_bytes: int = 32 << 20


@dataclass(frozen=True, slots=True)
class LogState:
    """accepted: answers of the sample that were taken; each is written, dropped or still waiting. lost: what servers of
    this machine that were killed took with them, as this one found when it started."""

    accepted: int
    written: int
    dropped: int
    lost: int


def sampled(answer_id: str, share: float) -> bool:
    """Whether an answer is in the sample: a function of its id alone."""
    digest = hashlib.sha256(answer_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


class RequestLog:
    """share: of the answers, from 0 to 1. folder: for the journal, on this machine's disk; None for none."""

    def __init__(
        self,
        store: ObjectStore,
        model: str,
        redaction: Redaction,
        *,
        share: float,
        server: str | None = None,
        folder: Path | None = None,
        bounds: Bounds = Bounds(),
    ) -> None:
        self._store, self._model, self._redaction = store, model, redaction
        self._share, self._bounds = share, bounds
        self.server = server or new_server_name()
        self._waiting: deque[tuple[float, int, ServedAnswer]] = deque()
        self._waiting_bytes = 0
        self._accepted = self._written = self._dropped = self._refused = 0
        self._lost = _report_left_behind(folder) if folder else 0
        self._journal = _journal(folder, self.server) if folder else None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._tell_at = 1
        self._thread = threading.Thread(target=self._run, name="mtl-request-log", daemon=True)
        self._thread.start()

    def offer(self, answer: ServedAnswer) -> None:
        """Take the answer if it is in the sample and there is room. Neither waits nor raises."""
        if not sampled(answer.id, self._share):
            return
        size = getsizeof(answer.text) + getsizeof(answer.answer)
        bounds = self._bounds
        with self._changed:
            full = len(self._waiting) >= bounds.waiting or self._waiting_bytes + size > bounds.waiting_bytes
            if full or self._closing.is_set():
                self._refused += 1
            else:
                self._waiting.append((time.monotonic(), size, answer))
                self._waiting_bytes += size
                self._accepted += 1
                self._note()
                self._changed.notify()
        if full:
            self._tell("more answers wait than the request log holds")

    def state(self) -> LogState:
        with self._changed:
            return LogState(self._accepted, self._written, self._dropped + self._refused, self._lost)

    def close(self, seconds: float = _CLOSING_SECONDS) -> None:
        """Write what waits, for so long at most."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        self._thread.join(seconds)
        state = self.state()
        lost = self._accepted - self._written - self._dropped
        if lost:
            _log.warning("the store did not take the last %d answers of the request log: they are lost", lost)
        if state.dropped:
            _log.warning("the request log of this server lacks %d answers that were dropped", state.dropped)
        if self._journal and not self._thread.is_alive():
            self._journal.close(remove=True)

    def _run(self) -> None:
        number = 0
        while batch := self._batch():
            number += 1
            written = self._write(number, batch)
            with self._changed:
                self._written += len(batch) if written else 0
                self._dropped += 0 if written else len(batch)
                self._note()

    def _batch(self) -> list[ServedAnswer]:
        """The answers of the next part, once there are enough or the oldest has waited; none when the log is closed."""
        bounds = self._bounds
        with self._changed:
            while not self._closing.is_set():
                enough = len(self._waiting) >= bounds.answers or self._waiting_bytes >= bounds.text_bytes
                left = self._waiting[0][0] + bounds.seconds - time.monotonic() if self._waiting else None
                if enough or (left is not None and left <= 0):
                    break
                self._changed.wait(left)
            batch: list[ServedAnswer] = []
            taken = 0
            while self._waiting and len(batch) < bounds.answers and taken < bounds.text_bytes:
                _, size, answer = self._waiting.popleft()
                taken += size
                batch.append(answer)
            self._waiting_bytes -= taken
            return batch

    def _write(self, number: int, batch: list[ServedAnswer]) -> bool:
        """Whether the store has the part now. A store that is away is asked again until the log is closed."""
        key = request_part_key(self._model, f"{datetime.now(UTC):%Y-%m-%d}", self.server, number)
        pause = _FIRST_PAUSE
        try:
            data = part_of([self._redaction.answer(answer) for answer in batch])
            while True:
                last = self._closing.is_set()
                try:
                    self._store.put(key, data)
                    return True
                except TransientError as error:
                    if last:
                        raise
                    _log.warning("the request log waits for the store: %s", error.message)
                self._closing.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        except Exception as error:  # the thread goes on; what an error says may hold a text
            self._tell(f"a part of the request log could not be written ({type(error).__name__})", len(batch))
            return False

    def _tell(self, what: str, more: int = 0) -> None:
        """Say that answers are dropped: the first time, and whenever twice as many are."""
        with self._changed:
            dropped = self._dropped + self._refused + more
            if dropped < self._tell_at:
                return
            self._tell_at = 2 * dropped
        _log.warning("%s: %d answers are dropped until now", what, dropped)

    def _note(self) -> None:
        if self._journal:
            self._journal.note(self._accepted, self._written + self._dropped)


def _journal(folder: Path, server: str) -> Journal | None:
    try:
        return Journal(folder, server)
    except OSError as error:
        _log.warning("if this server is killed, nothing will say what its request log lost: %s", error)
        return None


def _report_left_behind(folder: Path) -> int:
    total = 0
    try:
        for server, lost in left_behind(folder):
            total += lost
            _log.warning("server %s was killed: its request log lost the %d answers it had not written", server, lost)
    except OSError as error:
        _log.warning("what killed servers left in %s cannot be read: %s", folder, error)
    return total
