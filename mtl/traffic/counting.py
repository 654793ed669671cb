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
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from mtl.store.base import ObjectStore
from mtl.traffic.background import Every
from mtl.traffic.records import ServedAnswer, ServedCounts, Verdict
from mtl.traffic.store import write_counts

_log = logging.getLogger(__name__)
_SECONDS = 60.0


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

    def feedback(self, version: int | None, verdict: Verdict) -> None:
        """Count what somebody said of an answer of this version."""
        self._add(version, {"good": 1} if verdict == "good" else {"bad": 1})

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
                for hour in [hour for hour in self._hours if hour < now and hour not in self._changed]:
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
            hour = self._hour()
            if hour not in self._hours:
                self._hours[hour], self._names[hour] = {}, f"{self._server}-{next(self._numbers)}"
            counts = self._hours[hour].get(version, ServedCounts(version))
            sums = {name: getattr(counts, name) + value for name, value in more.items()}
            self._hours[hour][version] = replace(counts, **sums)
            self._changed.add(hour)
