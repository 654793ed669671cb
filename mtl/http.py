"""Asking HTTP services: one client (httpx) with time-outs, and one table of what its errors mean.

A certificate that nobody trusts, a bundle that is missing, no TLS  PermanentError, see mtl.certificates
InvalidURL, UnsupportedProtocol, LocalProtocolError                 InputError: the address is none
TooManyRedirects                                                    PermanentError
every other HTTPError: timeouts, connections, proxies, broken HTTP  TransientError
401, 403                                                            PermanentError
404                                                                 NotFoundError
408, 429, 5xx                                                       TransientError
every other status from 300 on                                      PermanentError

What libraries do over HTTP by themselves (MLflow and datasets by requests, boto3 by urllib3) is translated where they
are called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from mtl.certificates import bundle_fault, certificate_fault
from mtl.errors import InputError, MtlError, NotFoundError, PermanentError, TransientError
from mtl.settings.environment import proxy_variable

_ERRORS: tuple[tuple[type[Exception], type[MtlError], str], ...] = (
    (httpx.InvalidURL, InputError, "the address of {name} is no HTTP address: {address}"),
    (httpx.UnsupportedProtocol, InputError, "the address of {name} is no HTTP address: {address}"),
    (httpx.LocalProtocolError, InputError, "{name} at {address} cannot be asked so"),
    (httpx.TooManyRedirects, PermanentError, "{name} redirects in a circle at {address}"),
    (httpx.HTTPError, TransientError, "{name} does not answer at {address} ({kind})"),
)
"""From the special to the general: exception of httpx -> error, and what it says."""
_PASSING = (408, 429)


@dataclass(frozen=True, slots=True)
class Server:
    """A server as messages name it.

    address: without credentials. variable: the setting that holds it. hint: what to do if it does not answer.
    certificates: the variable that names a private authority.
    """

    name: str
    address: str
    variable: str | None = None
    hint: str | None = None
    certificates: str = "SSL_CERT_FILE"

    def failed(self, error: Exception) -> MtlError:
        """The error that an exception of httpx stands for."""
        if isinstance(error, OSError):  # httpx reads the bundle when a client is made
            return bundle_fault(str(error), server=self.address, variable=self.certificates)
        untrusted = certificate_fault(error, server=self.address, variable=self.certificates)
        if untrusted is not None:
            return untrusted
        kind, text = next((kind, text) for of, kind, text in _ERRORS if isinstance(error, of))
        message = text.format(name=self.name, address=self.address, kind=type(error).__name__)
        return kind(message, field=self.variable, hint=self.hint)

    def refused(self, status: int, message: str, *, field: str | None = None, hint: str | None = None) -> MtlError:
        """The error that a status from 300 on stands for."""
        if status == 404:
            return NotFoundError(message, field=field, hint=hint)
        passing = status >= 500 or status in _PASSING
        return (TransientError if passing else PermanentError)(message, field=field, hint=hint)


@contextmanager
def http_errors(server: Server) -> Iterator[None]:
    """Turns what httpx raises into the errors of the table."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise server.failed(error) from None


def ask(
    server: Server, method: str, url: str, *, timeout: float, client: httpx.Client | None = None, **arguments: Any
) -> httpx.Response:
    """An answer, whatever its status. timeout: seconds for each of connecting, sending and receiving.

    Errors: those of the table for a server that does not answer.
    """
    with http_errors(server):
        return (client or httpx).request(method, url, timeout=timeout, **arguments)


def through_proxy(url: str) -> str:
    """For the end of a hint: that a proxy is between, if one is."""
    proxy = proxy_variable(url)
    return f"; requests go through the proxy named in {proxy}, which may be what refuses" if proxy else ""
