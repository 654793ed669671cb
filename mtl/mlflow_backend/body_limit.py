"""What a request may take: its body is counted as it arrives, and never read further than the limit.

MLflow's app reads a body of any size, and needs up to forty times its size to make a table of it. Here a body is read
before that app sees it: one that is too large is answered 413, whether it says its length or comes in chunks. Of those
over 64 KiB only two are read and answered at a time; the others wait in their sockets, unread, so that many callers at
once need no more memory than two. Small requests never wait for large ones.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from mtl.errors import InputError, MtlError, TransientError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

SMALL = 64 * 1024
_LARGE_AT_ONCE = 2
_SECONDS = 60.0
_LINGER = 10.0  # seconds in which a refused caller may go on sending: it reads the answer only afterwards


class TooLarge(Exception):
    """The body is over the limit."""


class Gone(Exception):
    """The caller went away."""


class BodyLimit:
    """An ASGI app around `app` that hands it whole bodies of at most `most` bytes.

    seconds: in which a body must have arrived, and for which a large one waits for its turn.
    """

    def __init__(self, app: App, *, most: int, seconds: float = _SECONDS) -> None:
        self._app, self._most, self._seconds = app, most, seconds
        self._turns = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._answer(scope, receive, send)
        except TooLarge:
            error: MtlError = InputError(
                f"the body is larger than this server takes: at most {self._most:,} bytes",
                hint="send fewer texts at a time, or raise MTL_SERVE_MAX_BODY",
            )
            await refuse(scope, receive, send, 413, error, code="REQUEST_LIMIT_EXCEEDED")
        except _Waited:
            error = TransientError("other large requests are being answered", hint="try again in a moment")
            retry = [(b"retry-after", b"1")]
            await refuse(scope, receive, send, 503, error, code="TEMPORARILY_UNAVAILABLE", headers=retry)
        except TimeoutError:
            error = InputError(
                f"the body did not arrive within {self._seconds:g} seconds",
                hint="send it again, or send fewer texts at a time",
            )
            await refuse(scope, receive, send, 408, error, code="DEADLINE_EXCEEDED")
        except Gone:
            return

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        declared = header(scope, b"content-length")
        if declared.isdigit() and int(declared) > self._most:
            raise TooLarge
        body = bytearray()
        whole = await self._read(receive, body, most=min(SMALL, self._most))
        if whole:
            await self._app(scope, _replayed(body, receive), send)
            return
        try:
            async with asyncio.timeout(self._seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise _Waited from None
        try:
            if not await self._read(receive, body, most=self._most):
                raise TooLarge
            await self._app(scope, _replayed(body, receive), send)
        finally:
            self._turns.release()

    async def _read(self, receive: Receive, body: bytearray, *, most: int) -> bool:
        """Add to `body` what arrives, until it is whole (True) or over `most` bytes. Errors: Gone, TimeoutError."""
        async with asyncio.timeout(self._seconds):
            while len(body) <= most:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    if len(body) > self._most:
                        raise TooLarge
                    return True
        return False


class _Waited(Exception):
    """No turn came."""


def header(scope: MutableMapping[str, Any], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), "")


def _replayed(body: bytearray, receive: Receive) -> Receive:
    """`receive` for an app that has not seen the body yet: all of it in one message, then what really comes."""
    messages = [{"type": "http.request", "body": bytes(body), "more_body": False}]
    body.clear()

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def refuse(
    scope: MutableMapping[str, Any],
    receive: Receive,
    send: Send,
    status: int,
    error: MtlError,
    *,
    code: str,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Answer, then read on for a while without keeping anything, so that a caller who only sends gets to the answer.

    The document is an error of this project and, with `code`, one of MLflow's.
    """
    content = json.dumps(error.to_dict() | {"error_code": code, "message": str(error)}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": True})
    if header(scope, b"expect").lower() != "100-continue":  # such a caller has sent nothing yet, and now will not
        await _drain(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    try:
        async with asyncio.timeout(_LINGER):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
