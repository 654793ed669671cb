"""What the server tells of its answers and failures, so that they can be counted and logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from mtl.errors import MtlError, NotFoundError, TransientError
from mtl.server.batching import Batcher, Served, Ticket, Wanted
from mtl.server.marks import Marked
from mtl.server.refusals import status_of
from mtl.tasks.table import get_task
from mtl.traffic.records import ServedAnswer

_log = logging.getLogger(__name__)


class TimeIsUp(TransientError):
    """The answer took longer than callers wait."""

    kind = "timeout"


class CallerGone(TransientError):
    """Nobody reads the answer."""

    kind = "gone"


def too_late(seconds: float) -> TimeIsUp:
    return TimeIsUp(
        f"the answer did not come within {seconds:g} seconds",
        hint="send fewer texts at a time, or try again when the server is less busy",
    )


def _ignore(found: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is told of the answers, once for each text. They are called in several threads, and must not wait.

    on_answered, on_scored: an answer of POST /v1/generate, and one of POST /invocations, whose id nobody else knows.
    on_refused, on_failed: the version that refused a text, such as one that is too long or of a task that it does not
    know, or that failed to answer it, or not in time.
    """

    on_answered: Callable[[ServedAnswer], None] = _ignore
    on_scored: Callable[[ServedAnswer], None] = _ignore
    on_refused: Callable[[int | None], None] = _ignore
    on_failed: Callable[[int | None], None] = _ignore


def record_of(name: str, wanted: Wanted, text: str, found: Marked, served: Served, milliseconds: float) -> ServedAnswer:
    return ServedAnswer(
        id=name,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        task=wanted.task,
        text=text,
        request=get_task(wanted.task).complete(wanted.request),
        decoding=asdict(wanted.decoding),
        truncated=found.answer.truncated,
        answer=found.answer.text,
        version=served.model.version,
        milliseconds=milliseconds,
        usable=found.usable,
        marks=found.marks,
    )


def tell_failure(hooks: Hooks, batcher: Batcher, ticket: Ticket, error: MtlError) -> None:
    """Of a request that is answered with `error` alone, if that says something of the version that was asked.

    Of a time that is up, it does if the version was at that batch or held it up. A full queue says nothing.
    """
    if isinstance(error, TimeIsUp):
        hook, version = hooks.on_failed, batcher.waits_for(ticket)
    elif status_of(error) == 500:
        hook, version = hooks.on_failed, ticket.version
    elif isinstance(error, NotFoundError):  # this model was not trained on the task
        hook, version = hooks.on_refused, ticket.version
    else:
        return
    if version is not None:
        tell(hook, version, times=len(ticket.wanted.texts))


def tell(hook: Callable[[Any], None], found: Any, *, times: int = 1) -> None:
    """A hook that fails is logged, and costs the caller nothing."""
    try:
        for _ in range(times):
            hook(found)
    except Exception:
        _log.exception("what was served could not be told on")
