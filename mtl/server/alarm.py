"""An alarm: one thing that may be wrong for a while, said at once and then ever more rarely, and once to people."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from mtl.errors import MtlError, TransientError
from mtl.redact import clean
from mtl.shortages import explained

_log = logging.getLogger(__name__)
_FIRST, _LONGEST = 4.0, 300.0
_LASTING = 60.0
"""Seconds after which people are told of what may pass by itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong. version: the champion that does not load; None if the journal could not be read. since: UTC."""

    kind: str
    message: str
    hint: str | None
    version: int | None
    since: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def pause(count: int) -> float:
    """Seconds to wait after the `count`-th failure (from 1) before it is tried, and said, again."""
    return min(_LONGEST, _FIRST * 2.0 ** min(count - 1, 30))


class Alarm:
    """what: beginning of the log line. tell: gets each fault once; one that may pass by itself only when it lasts.

    Not for several threads: `fault` alone may be read by others.
    """

    def __init__(
        self, what: str, tell: Callable[[Fault], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._tell, self._clock = what, tell, clock
        self.fault: Fault | None = None
        self._count = 0
        self._began = self._due = 0.0
        self._told = False

    def waits(self, version: int | None) -> bool:
        """Whether it is too early to try this version again."""
        return self.fault is not None and self.fault.version == version and self._clock() < self._due

    def raised(self, error: Exception, *, version: int | None = None) -> None:
        """It went wrong: with the same kind of error for the same version as before, or with another one."""
        found = as_fault(error, version)
        now = self._clock()
        if self.fault is None or (self.fault.kind, self.fault.version) != (found.kind, version):
            self.fault, self._count, self._began, self._due, self._told = found, 0, now, now, False
        if now >= self._due:
            self._count += 1
            self._due = now + pause(self._count)
            unforeseen = None if isinstance(error, MtlError) else error
            _log.error("%s: %s (since %s)", self._what, clean(str(error)), self.fault.since, exc_info=unforeseen)
        if not self._told and (not isinstance(error, TransientError) or now - self._began >= _LASTING):
            self._told = True
            self._tell(self.fault)

    def clear(self) -> None:
        """It is right again, or no longer wanted."""
        if self.fault is not None:
            _log.warning("no longer so: %s: %s (since %s)", self._what, self.fault.message, self.fault.since)
            self.fault = None


def as_fault(error: Exception, version: int | None) -> Fault:
    """The error in words, as of now. Anybody may read them at /health, so no library's own text is among them."""
    known = error if isinstance(error, MtlError) else explained(error)
    since = utc_now()
    if known is None:
        return Fault("internal", type(error).__name__, "the server's log has the traceback", version, since)
    return Fault(known.kind, clean(known.message), known.hint and clean(known.hint), version, since)


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
