"""Who may ask: the holders of the key, and without a key only programs on this machine."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import MutableMapping, Sequence
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from mtl.errors import InputError, PermanentError
from mtl.mlflow_backend.body_limit import App, Receive, Send, header, refuse

KEY = "MTL_SERVE_KEY"
_LOOKED_AT = ("GET", "HEAD")


class Unauthorised(PermanentError):
    """The key is missing or wrong."""

    kind = "unauthorised"


class KeyRequired:
    """An ASGI app around `app`: what is under /v1/, or is no mere look at a page, needs the header
    `Authorization: Bearer KEY`.

    The body of a request without the key is not read.
    """

    def __init__(self, app: App, *, key: SecretStr) -> None:
        self._app, self._expected = app, f"Bearer {key.get_secret_value()}".encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope) or self._has_key(scope):
            await self._app(scope, receive, send)
            return
        missing = not header(scope, b"authorization")
        error = Unauthorised(
            f"the key is {'missing' if missing else 'wrong'}",
            field="Authorization",
            hint=f"send the header Authorization: Bearer KEY, with the server's {KEY}",
        )
        more = [(b"www-authenticate", b"Bearer")]
        await refuse(scope, receive, send, 401, error, code="UNAUTHENTICATED", headers=more)

    def _has_key(self, scope: MutableMapping[str, Any]) -> bool:
        given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)


class LocalHost:
    """An ASGI app around `app`, for a server without a key: the Host of a request must be this machine's own, and so
    must the Origin of one that is no mere look.

    Otherwise a web page could have its own name lead to a loopback address (DNS rebinding), or post to the address
    itself, and so use the model through a browser on this machine.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        error = _foreign(scope) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, receive, send, 403, error, code="PERMISSION_DENIED")


def _foreign(scope: MutableMapping[str, Any]) -> Unauthorised | None:
    """What is not this machine's own about a request."""
    if not _is_local(f"//{header(scope, b'host')}"):
        return Unauthorised(
            "a server without a key answers only to localhost and loopback addresses",
            field="Host",
            hint=f"ask http://127.0.0.1:PORT, or set {KEY}, which callers then send",
        )
    origin = header(scope, b"origin")  # browsers send it with every post
    if origin and scope["method"] not in _LOOKED_AT and not _is_local(origin):
        return Unauthorised(
            "a server without a key takes nothing from web pages of other addresses",
            field="Origin",
            hint=f"open the server's own page, or set {KEY}, which callers then send",
        )
    return None


def _is_local(address: str) -> bool:
    """Of an address such as `//localhost:5002` or `http://127.0.0.1`."""
    try:
        name = urlsplit(address).hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_open(scope: MutableMapping[str, Any]) -> bool:
    return scope["method"] in _LOOKED_AT and not scope["path"].startswith("/v1/")


def check_reach(host: str, sockets: Sequence[socket], *, key: SecretStr | None) -> None:
    """Errors: InputError if others can reach the server, and there is no key."""
    if key is None and not all(_is_loopback(held) for held in sockets):
        raise InputError(
            f"{host} can be reached by others, and {KEY} is not set, so anybody could use the model",
            field=KEY,
            hint=f"set {KEY} to a random text of 16 characters or more, which callers send as Authorization: Bearer "
            "KEY, or use --host 127.0.0.1",
        )


def _is_loopback(held: socket) -> bool:
    return ipaddress.ip_address(held.getsockname()[0].partition("%")[0]).is_loopback
