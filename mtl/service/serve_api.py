"""What is asked of a running `mtl serve` over HTTP: which version answers, since when, and what is wrong."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx

from mtl.errors import PermanentError
from mtl.http import Server, ask, through_proxy
from mtl.redact import clean
from mtl.settings import LOOPBACK

Document = dict[str, Any]
VARIABLE = "MTL_SERVE_URL"


def serve_health(url: str, *, timeout: float) -> Document:
    """What GET /health answers: model, version, seq, since, fault. Errors: TransientError, PermanentError."""
    answer = _ask(url, "GET", "/health", timeout=timeout)
    try:
        health = answer.json()
    except ValueError:
        health = None
    if not isinstance(health, dict) or "version" not in health:
        raise PermanentError(
            f"{clean(url)}/health is not that of mtl serve ({answer.status_code})",
            field=VARIABLE,
            hint=f"{VARIABLE} is the address of mtl serve, without a path, e.g. http://127.0.0.1:5002",
        )
    return health


def asks_for_key(url: str, *, timeout: float) -> bool:
    """Whether it refuses who has no key. Nothing is generated: the request is empty."""
    return _ask(url, "POST", "/v1/generate", timeout=timeout, json={}).status_code == 401


def _ask(url: str, method: str, path: str, *, timeout: float, **content: Any) -> httpx.Response:
    hint = f"is it up (mtl stack status, or the log of mtl serve), and is {VARIABLE} its address?{through_proxy(url)}"
    loopback = urlsplit(url).hostname in LOOPBACK
    with httpx.Client(trust_env=not loopback) as stranger:
        address = f"{url.rstrip('/')}{path}"
        return ask(
            Server("mtl serve", clean(url), VARIABLE, hint),
            method,
            address,
            timeout=timeout,
            client=stranger,
            **content,
        )
