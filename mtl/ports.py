"""Ports to listen on: held before anything is promised, and whose they are if they are taken."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import psutil

from mtl.errors import InputError


@contextmanager
def hold(host: str, port: int) -> Iterator[Sequence[socket.socket]]:
    """Sockets that listen on every address of `host`, for a server to answer on; closed at the end.

    Errors: InputError for a port that another program has or that this user may not take, and for a host that is none
    of this machine's.
    """
    with ExitStack() as stack:
        try:
            held = [
                stack.enter_context(_listener(family, kind, protocol, address))
                for family, kind, protocol, _, address in _addresses(host, port)
            ]
        except OSError as error:
            raise _refusal(error, host, port) from None
        yield held


def holder(port: int) -> str:
    """The program that listens on a port, as far as this user may know."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another program"


def _listener(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family, kind, protocol))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen()
        stack.pop_all()
    return listener


def _addresses(host: str, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    """Of a name that has IPv4 and IPv6 addresses, those of the kinds that this machine has."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    usable = [item for item in dict.fromkeys(found) if item[0] != socket.AF_INET6 or _has_ipv6()]
    return usable or found  # type: ignore[return-value]  # the stub's unions


def _has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
        trial.bind(("::1", 0))
        return True
    return False


def _refusal(error: OSError, host: str, port: int) -> InputError:
    if error.errno == errno.EADDRINUSE:
        hint = f"stop that program (ss -ltnp | grep :{port}), or choose another port with --port"
        return InputError(f"port {port} of {host} is taken by {holder(port)}", field="port", hint=hint)
    if error.errno in (errno.EACCES, errno.EPERM):
        hint = "choose a port of 1024 or above with --port"
        return InputError(f"this user may not listen on port {port} of {host}", field="port", hint=hint)
    hint = "an address of this machine, such as 127.0.0.1; 0.0.0.0 means all of them"
    return InputError(f"cannot listen on {host}: {error.strerror}", field="host", hint=hint)
