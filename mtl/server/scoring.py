"""POST /invocations: what MLflow's scoring server asks of the queue in which all other requests are.

A table may be long. It is answered in parts, one after the other, so that no other caller waits for all of it; a
promotion meanwhile may come between two parts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

from mtl.decoding import Decoding
from mtl.errors import InputError, MtlError
from mtl.mlflow_backend.body_limit import App, Message, Receive, Send
from mtl.server.batching import MOST_IN_BATCH, Batcher, Served, Wanted
from mtl.server.telling import CallerGone, Hooks, record_of, tell, tell_failure, too_late
from mtl.serving.generate import Answer

MOST_ROWS = 10_000


class _Caller:
    """Who waits for an answer, and until when. The answer is awaited in a thread of MLflow's app."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._until = seconds, time.monotonic() + seconds
        self._future: Future[Served] | None = None
        self._gone = False

    def leave(self) -> None:
        """What is not begun yet need not be answered."""
        self._gone = True
        if self._future:
            self._future.cancel()

    def result(self, future: Future[Served]) -> Served:
        """Errors: CallerGone, TimeIsUp, those of the future."""
        self._future = future
        if self._gone:
            future.cancel()
        try:
            return future.result(max(0.0, self._until - time.monotonic()))
        except CancelledError:
            raise CallerGone("the caller went away") from None
        except TimeoutError:
            raise too_late(self._seconds) from None
        finally:
            future.cancel()


_caller: ContextVar[_Caller] = ContextVar("caller")


class Watched:
    """An ASGI app around MLflow's. A caller waits for `seconds` from the whole request on, and may go away.

    MLflow's app itself looks for neither: its thread would go on for nobody.
    """

    def __init__(self, app: App, *, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        caller = _Caller(self._seconds)
        _caller.set(caller)
        messages = [await receive()]  # the whole body: see BodyLimit
        gone = asyncio.ensure_future(_departure(receive, caller))

        async def received() -> Message:
            return messages.pop() if messages else await asyncio.shield(gone)

        try:
            await self._app(scope, received, send)
        finally:
            gone.cancel()
            caller.leave()  # MLflow's app has a time limit of its own


async def _departure(receive: Receive, caller: _Caller) -> Message:
    while (message := await receive())["type"] != "http.disconnect":
        pass
    caller.leave()
    return message


def generate_for_mlflow(batcher: Batcher, hooks: Hooks) -> Callable[..., list[Answer]]:
    """`Generator.generate` for POST /invocations, within `Watched`. One bad text refuses the request."""

    def generate(
        texts: Sequence[Any],
        task: str,
        *,
        request: Mapping[str, Any],
        max_new_tokens: int | None,
        truncate: bool,
        decoding: Decoding,
    ) -> list[Answer]:
        if len(texts) > MOST_ROWS:
            said = f"at most {MOST_ROWS:,} texts in one request, got {len(texts):,}"
            raise InputError(said, field="text", hint="send several requests")
        answers: list[Answer] = []
        for start in range(0, len(texts) or 1, MOST_IN_BATCH):
            part = tuple(texts[start : start + MOST_IN_BATCH])
            wanted = Wanted(task, part, request, decoding, max_new_tokens, truncate, first=start + 1)
            answers += _answered(batcher, wanted, hooks)
        return answers

    return generate


def _answered(batcher: Batcher, wanted: Wanted, hooks: Hooks) -> list[Answer]:
    begun = time.monotonic()
    ticket = batcher.submit(wanted)
    try:
        served = _caller.get().result(ticket.future)
    except MtlError as error:
        if wanted.first == 1 or error.kind != "timeout":  # a long table needs its time whichever version answers
            tell_failure(hooks, batcher, ticket, error)
        raise
    refused = [found for found in served.answers if isinstance(found, MtlError)]
    tell(hooks.on_refused, served.model.version, times=len(refused))
    milliseconds = round(1000 * (time.monotonic() - begun), 1)
    answers = []
    for text, found in zip(wanted.texts, served.answers, strict=True):
        if not isinstance(found, MtlError):
            answers.append(found.answer)
            tell(hooks.on_scored, record_of(uuid4().hex, wanted, text, found, served, milliseconds))
    if refused:
        raise refused[0]
    return answers
