"""The server of answers: does it answer, does it follow the champion, and whom does it answer?

Nothing here is a fault: retrains need no server.
"""

from __future__ import annotations

from collections.abc import Iterator

from mtl.doctor.result import CheckResult, ok, warning
from mtl.errors import MtlError
from mtl.redact import clean
from mtl.service.serve_api import asks_for_key, serve_health

_TIMEOUT = 5.0
_CHECK = "server"


def server(url: str | None) -> Iterator[CheckResult]:
    """Nothing where MTL_SERVE_URL names no server."""
    if url is None:
        return
    try:
        health, has_key = serve_health(url, timeout=_TIMEOUT), asks_for_key(url, timeout=_TIMEOUT)
    except MtlError as error:
        yield warning(_CHECK, error.message, error.hint or "see the message")
        return
    version = f"v{health['version']}" if health["version"] else "nothing yet: it waits for a champion"
    yield ok(_CHECK, f"{clean(url)}: {health.get('model')}, answers with {version}")
    if found := health.get("fault"):
        do = "docs/operations.md says what to do; what it has in memory goes on answering"
        yield warning(_CHECK, f"cannot follow the champion: {found['message']}", do)
    if has_key:
        yield ok(_CHECK, "asks for the key (401 without)")
    else:
        do = "set MTL_SERVE_KEY on the server; mtl stack up does so"
        yield warning(_CHECK, f"{clean(url)} answers anybody, without a key", do)
