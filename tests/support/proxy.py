"""A TCP proxy that cuts, delays, swallows and loses: between a client and S3 or MLflow, on loopback.

    with FaultProxy("127.0.0.1", port) as proxy:
        proxy.fail("lose_answer", times=1)      # the next request gets through, its answer does not
        client(proxy.url)

A fault is chosen with the first bytes of each request (HTTP without pipelining), also on a connection that is kept
open; `refuse` when a connection is accepted. Faults:
    refuse       the connection is reset at once
    cut          reset after `after` bytes of the request went through
    black_hole   accepted, read, never answered
    delay        each answer comes `seconds` later
    lose_answer  the request gets through, and is answered, then the connection is reset instead
    unavailable  answered with 503 without asking the server, and closed
    cut_body     reset after `after` bytes of the body of the answer to a GET
    end_body     closed in good order there, as by a server that ends
    stall_body   nothing more comes from there on
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

_CONTINUE = re.compile(rb"(?:HTTP/1\.[01] 100 [^\r]*\r\n\r\n)+")
_END_OF_HEAD = b"\r\n\r\n"
IN_BODY = ("cut_body", "end_body", "stall_body")
KINDS = ("refuse", "cut", "black_hole", "delay", "lose_answer", "unavailable", *IN_BODY)


@dataclass
class _Fault:
    kind: str
    times: int | None
    after: int
    seconds: float
    containing: bytes


class FaultProxy:
    """Forwards every connection to `host`:`port`; `fail` says what goes wrong with the next requests."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._faults: list[_Fault] = []
        self._closed = threading.Event()
        self.injected: list[str] = []
        self.connections = 0

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def fail(
        self, kind: str, *, times: int | None = 1, after: int = 0, seconds: float = 0.0, containing: bytes = b""
    ) -> None:
        """The next `times` requests (None: all until `heal`) have this fault.

        containing: only requests whose first bytes hold this (`b"PUT "`); for refuse it has no meaning.
        """
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")
        with self._lock:
            self._faults.append(_Fault(kind, times, after, seconds, containing))

    def heal(self) -> None:
        """No more faults; connections that hang in one are reset."""
        with self._lock:
            self._faults.clear()
        self.cut_all()

    def cut_all(self) -> None:
        """End every open connection."""
        with self._lock:
            for item in self._sockets:
                with contextlib.suppress(OSError):
                    item.shutdown(socket.SHUT_RDWR)  # wakes the thread that serves it, which closes it

    def _take(self, request: bytes | None) -> _Fault | None:
        """The fault for a connection; `request` is None before anything was read."""
        with self._lock:
            for fault in self._faults:
                if (fault.kind == "refuse") != (request is None) or fault.containing not in (request or b""):
                    continue
                if fault.kind in IN_BODY and not (request or b"").startswith(b"GET "):
                    continue
                self.injected.append(fault.kind)
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._faults.remove(fault)
                return fault
        return None

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self._take(None):
                _reset(client)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = None
        try:
            server = socket.create_connection(self._target)
            with self._lock:
                self._sockets |= {client, server}
            self._pass(client, server)
        except OSError:
            pass
        finally:
            with self._lock:
                self._sockets -= {client, server}
            for item in (client, server):
                if item is not None:
                    _reset(item)

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        """Both directions until one side ends or a fault ends it."""
        exchange = _Exchange(client, server, choose=self._take, wait=self._closed.wait)
        while not self._closed.is_set():
            readable, _, _ = select.select([client, server], [], [], 0.5)
            if server in readable and not exchange.answer(server.recv(65536)):
                return
            if client in readable and server not in readable and not exchange.request(client.recv(65536)):
                return


@dataclass
class _Exchange:
    """One connection; a fault is chosen with the first bytes of each request."""

    client: socket.socket
    server: socket.socket
    choose: Callable[[bytes], _Fault | None]
    wait: Callable[[float], object]
    fault: _Fault | None = None
    sent: int = 0
    answered: bool = True
    head: bytes = b""
    body: int = 0

    @property
    def kind(self) -> str:
        return self.fault.kind if self.fault else ""

    def request(self, piece: bytes) -> bool:
        """Pass on bytes of the client. False: the connection is over."""
        if not piece:
            return False
        if self.answered:
            self.fault, self.sent, self.answered = self.choose(piece), 0, False
            self.head, self.body = b"", 0
        if self.fault and self.kind == "cut" and self.sent + len(piece) > self.fault.after:
            self.server.sendall(piece[: self.fault.after - self.sent])
            return False
        if self.kind == "unavailable":
            self.client.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            _finish(self.client, seconds=0.3)
            return False
        if self.kind != "black_hole":
            self.server.sendall(piece)
        self.sent += len(piece)
        return True

    def answer(self, piece: bytes) -> bool:
        """Pass on bytes of the server. False: the connection is over."""
        if not piece:
            _finish(self.client)
            return False
        if self.fault and self.kind in IN_BODY:
            self.answered = True
            return self._answer_in_part(piece, self.fault.after)
        if not _CONTINUE.fullmatch(piece):
            if self.kind == "lose_answer":
                return False
            if self.fault and self.kind == "delay" and not self.answered:
                self.wait(self.fault.seconds)
            self.answered = True
        self.client.sendall(piece)
        return True

    def _answer_in_part(self, piece: bytes, after: int) -> bool:
        """Pass on the head and the first `after` bytes of the body; the fault comes with the next one."""
        if not self.head.endswith(_END_OF_HEAD):
            whole = self.head + piece
            end = whole.find(_END_OF_HEAD)
            cut = len(whole) if end < 0 else end + len(_END_OF_HEAD)
            self.client.sendall(piece[: cut - len(self.head)])
            self.head, piece = whole[:cut], whole[cut:]
        wanted = piece[: max(0, after - self.body)]
        self.client.sendall(wanted)
        self.body += len(piece)
        if len(wanted) == len(piece) or self.kind == "stall_body":
            return True
        if self.kind == "end_body":
            _finish(self.client)
        return False


def _finish(client: socket.socket, *, seconds: float = 5.0) -> None:
    """End in good order, so that what was sent last arrives: a reset would drop it."""
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        client.settimeout(seconds)
        while client.recv(65536):
            pass


def _reset(item: socket.socket) -> None:
    """Close with RST rather than FIN, as a dying peer does."""
    with contextlib.suppress(OSError):
        item.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    item.close()
