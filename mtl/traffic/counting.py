"""Counting: what each version answered in each hour, written every minute. No text is in it.

counting = Counting(store, "mtl-flan-t5", server=name)
counting.answered(answer)
counting.count(version, error=True)
counting.close()
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mtl.store.base import ObjectStore
from mtl.traffic.background import Every
from mtl.traffic.records import Feedback, ServedAnswer, ServedCounts
from mtl.traffic.store import write_counts

_log = logging.getLogger(__name__)
_SECONDS = 60.0
_HOURS = timedelta(hours=24)
"""How long an hour can still change: by what else people say of an answer that was judged in it."""
_JUDGED = 10_000
"""Answers whose verdict is remembered. No more than so many are known to a server that takes feedback."""


def _utc() -> datetime:
    return datetime.now(UTC)


class Counting:
    """Sums in memory, one document an hour in the store. Only `write` waits for it, and `close` for some seconds.

    An hour that comes again after it was written and forgotten, because the clock was set back, gets another document.
    A model without a version, such as a folder, is not counted. clock: the time in UTC.
    """

    def __init__(
        self,
        store: ObjectStore,
        model: str,
        *,
        server: str,
        seconds: float = _SECONDS,
        clock: Callable[[], datetime] = _utc,
    ) -> None:
        self._store, self._model, self._server, self._clock = store, model, server, clock
        self._hours: dict[datetime, dict[int, ServedCounts]] = {}
        self._names: dict[datetime, str] = {}
        self._numbers = itertools.count(1)
        self._changed: set[datetime] = set()
        self._good: OrderedDict[str, datetime | None] = OrderedDict()  # id -> hour that counts it as good; None: bad
        self._lock = threading.Lock()
        self._every = Every(seconds, self.write, what="writing counts of what is served", at_end=True)

    def answered(self, answer: ServedAnswer) -> None:
        """Count an answer."""
        checked = answer.marks is not None
        counted = {"malformed": int(answer.malformed), "milliseconds": answer.milliseconds}
        counted |= {"checked": int(checked), "unusable": int(checked and answer.usable is False)}
        self._add(answer.version, {"requests": 1} | counted)

    def count(self, version: int | None, *, refused: bool = False, error: bool = False) -> None:
        """Count a text that the model refused, or that could not be answered (5xx)."""
        self._add(version, {"requests": 1, "errors": int(error), "refused": int(refused)})

    def feedback(self, feedback: Feedback) -> None:
        """Count what somebody said of an answer. An answer counts once, and as bad if anything said of it is not good:
        who judges each question of a quiz is one person with one quiz.
        """
        version, good = feedback.version, feedback.verdict == "good"
        if version is None:
            return
        with self._lock:
            if feedback.id not in self._good:
                hour = self._hour()
                self._sum(hour, version, {"good": 1} if good else {"bad": 1})
                self._good[feedback.id] = hour if good else None
                if len(self._good) > _JUDGED:
                    self._good.popitem(last=False)
            elif not good and (counted := self._good[feedback.id]) in self._hours:
                self._sum(counted, version, {"good": -1, "bad": 1})
                self._good[feedback.id] = None

    def write(self) -> None:
        """Write the hours in which something was counted since they were written last. Errors: those of the store."""
        with self._lock:
            now = self._hour()
            hours = {hour: (self._names[hour], list(self._hours[hour].values())) for hour in sorted(self._changed)}
            self._changed.clear()
        waiting = set(hours)
        try:
            for hour, (name, counts) in hours.items():
                write_counts(self._store, self._model, name, hour, counts)
                waiting.discard(hour)
        finally:
            with self._lock:
                self._changed |= waiting
                for hour in [hour for hour in self._hours if hour < now - _HOURS and hour not in self._changed]:
                    del self._hours[hour], self._names[hour]

    def close(self) -> None:
        """Write what is not written yet, for some seconds at most."""
        self._every.close()
        with self._lock:
            if self._changed:
                _log.warning("the store did not take the last counts of what was served: they are lost")

    def _hour(self) -> datetime:
        return self._clock().replace(minute=0, second=0, microsecond=0)

    def _add(self, version: int | None, more: dict[str, float]) -> None:
        if version is None:
            return
        with self._lock:
            self._sum(self._hour(), version, more)

    def _sum(self, hour: datetime, version: int, more: dict[str, float]) -> None:
        """With the lock held."""
        if hour not in self._hours:
            self._hours[hour], self._names[hour] = {}, f"{self._server}-{next(self._numbers)}"
        counts = self._hours[hour].get(version, ServedCounts(version))
        sums = {name: getattr(counts, name) + value for name, value in more.items()}
        self._hours[hour][version] = replace(counts, **sums)
        self._changed.add(hour)
