"""The server of answers: does it answer, does it follow the champion, and whom does it answer?"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from mtl.doctor.result import CheckResult, fault, ok, warning
from mtl.service.redact import clean
from mtl.service.serve_api import asks_for_key, serve_health
from mtl.settings import LOOPBACK

_TIMEOUT = 5.0
_CHECK = "server"


def server(url: str | None) -> Iterator[CheckResult]:
    """Nothing where MTL_SERVE_URL names no server. Errors: TransientError, PermanentError."""
    if url is None:
        return
    health = serve_health(url, timeout=_TIMEOUT)
    version = f"v{health['version']}" if health["version"] else "no champion yet"
    yield ok(_CHECK, f"{clean(url)}: answers with {health.get('model')} {version}")
    if found := health.get("fault"):
        do = "docs/operations.md says what to do; the version before it goes on answering"
        yield fault(_CHECK, f"cannot follow the champion: {found['message']}", do)
    if asks_for_key(url, timeout=_TIMEOUT):
        yield ok(_CHECK, "asks for the key (401 without)")
        return
    detail, do = f"{clean(url)} answers anybody, without a key", "set MTL_SERVE_KEY on the server; mtl stack up does so"
    loopback = urlsplit(url).hostname in LOOPBACK
    yield warning(_CHECK, detail, do) if loopback else fault(_CHECK, detail, do)
