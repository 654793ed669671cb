"""Limits of an HTTP server that others can reach: how long a request may take to arrive, and how many may at once.

    with hold("127.0.0.1", 5002) as sockets:  # mtl.ports
        serve(app, sockets)

uvicorn itself waits for a request for as long as its caller keeps the connection open.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Sequence
from contextlib import suppress
from socket import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mtl.errors import PermanentError

REQUEST_SECONDS = 10.0
"""For head and body together. While the app lets a body wait, its limits hold instead."""
MOST_CONNECTIONS = 128


def serve(app: Any, sockets: Sequence[socket], **options: Any) -> None:
    """Answer on `sockets` until interrupted, within the limits. options: others of uvicorn's."""
    server = uvicorn.Server(uvicorn.Config(app, **bounded(), **options))
    with suppress(KeyboardInterrupt):
        server.run(list(sockets))
    if not server.started:
        raise PermanentError("the server did not start", hint="what it printed says why")


def bounded() -> dict[str, Any]:
    """Options of uvicorn: a connection carries one request, within these limits."""
    return {
        "http": BoundedProtocol,
        "ws": "none",
        "headers": [("connection", "close")],
        "server_header": False,
        # asyncio accepts so many in each turn of its loop, and a few turns pass before a new one can make room.
        "backlog": max(1, most_connections() // 8),
    }


class BoundedProtocol(H11Protocol):
    """A connection. If there are too many, the one that has waited longest for its request makes room for this one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self._timer = self.loop.call_later(REQUEST_SECONDS, self._time_is_up)
        if len(self.connections) > most_connections():
            waiting = [each for each in self.connections if isinstance(each, BoundedProtocol) and not each.arrived]
            min(waiting, key=lambda each: each._since)._give_up()  # itself, if all others are being answered

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    @property
    def arrived(self) -> bool:
        """Whether the whole request is here."""
        return self.cycle is not None and not self.cycle.more_body

    def _time_is_up(self) -> None:
        if self.flow.read_paused:  # it waits for the app to read on, which is no fault of its caller
            self._timer = self.loop.call_later(REQUEST_SECONDS, self._time_is_up)
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Close the connection of a request that has not arrived; the app finds its caller gone."""
        if self.arrived or self.transport.is_closing():
            return
        self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.connections.discard(self)
        self.transport.abort()


def most_connections() -> int:
    """Half of the file descriptors of this process at most: the app needs some itself."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if descriptors == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, descriptors // 2)
