"""Service: one process of the stack, what it needs, and how one knows that it works."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.errors import MtlError, TransientError
from mtl.settings import child_environment

if TYPE_CHECKING:
    import httpx

_SECONDS = 120


def _nothing() -> None:
    return


def _running() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Service:
    """One process.

    command: names files relative to the stack's folder, in which it runs, unless it has an `environment`.
    needs: services that must be healthy first. before: makes what the process needs, or finds it. healthy: asked once
    it runs. after: what must be made inside it, or found. user: it runs as. public: the address that people open.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    needs: Sequence[str] = ()
    user: str | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 20
    before: Callable[[], None] = _nothing
    healthy: Callable[[], bool] = _running
    after: Callable[[], None] = _nothing
    public: str | None = None


def run(
    *command: str,
    folder: Path,
    stdin: str | None = None,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Standard output of a command that ends by itself. Errors: TransientError with the end of what it said.

    folder: to run it in. Its arguments name files relative to that, whatever characters MTL_HOME holds.
    """
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            user=user,
            cwd=folder,
            env=child_environment(environment),
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise TransientError(f"{command[0]} did not end in order: {error}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-1500:]
        raise TransientError(f"{command[0]} ended with {done.returncode}: {said}")
    return done.stdout


def ask(url: str, *, user: str | None = None, password: str = "", body: Any = None, method: str | None = None) -> Any:
    """The JSON (or text) that an HTTP service answers. Errors: TransientError if it does not answer with 2xx."""
    from mtl import http  # httpx takes a fifth of `mtl status`, which imports this and may ask nobody

    content = {} if body is None else {"json": body}
    auth = None if user is None else (user, password)
    method = method or ("GET" if body is None else "POST")
    answer = http.ask(http.Server("the service", url), method, url, timeout=10, client=_client(), auth=auth, **content)
    if answer.status_code >= 300:
        raise TransientError(f"{url} answers {answer.status_code}")
    try:
        return answer.json()
    except ValueError:
        return answer.text


@cache
def _client() -> httpx.Client:
    """For addresses of our own on loopback: without a proxy, and without connections that outlive a service."""
    import httpx

    return httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def answers(url: str, **options: Any) -> bool:
    """Whether an HTTP service answers with 2xx."""
    try:
        ask(url, **options)
    except MtlError:
        return False
    return True
