"""The webhook receiver: a moved alias in MLflow or new data start the right flow. `mtl webhooks` runs it.

    POST /mlflow   from MLflow's registry (X-MLflow-* headers); the alias champion starts MTL_WEBHOOK_ON_ALIAS
    POST /data     from anybody with the key (webhook-* headers); starts MTL_WEBHOOK_ON_DATA
    GET  /health   whether it runs
    GET  /metrics  for Prometheus, with the bearer token

Every post is signed (mtl.service.signing). The same post again starts nothing again: its id is the idempotency key of
the Prefect run. The same id with another body is refused (409). Nothing depends on a post to arrive: the deployments
that it starts poll as well.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import SecretStr
from starlette.requests import ClientDisconnect

from mtl.errors import InputError, MtlError, NotFoundError, TransientError
from mtl.fingerprint import sha256_bytes
from mtl.service.signing import WebhookSignatureError, verify
from mtl.settings.service import WebhookSettings
from mtl.settings.variables import shown
from mtl.store.base import ObjectStore

Document = dict[str, Any]
MOST_BYTES = 256 << 10
_KEPT = 86400.0  # seconds that ids are remembered, far beyond the window of a signature
_ALIAS = "model_version_alias"
_WATCHED = "champion"
_MLFLOW = ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature")
_STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Starter(Protocol):
    """Starts a run of a deployment; the same key again gives the same run. Errors: TransientError, NotFoundError."""

    def __call__(self, deployment: str, parameters: Document, *, idempotency_key: str) -> Document: ...


class ReplayedError(InputError):
    """An id that came before, with another body."""

    kind = "replayed"


class Received:
    """Ids and the hashes of their bodies, kept in a store of this machine."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._swept = time.monotonic()

    def check(self, source: str, message_id: str, body: bytes) -> bool:
        """True for a new id, False for the same post again. Errors: ReplayedError for another body."""
        self._sweep()
        key, digest = f"{source}/{sha256_bytes(message_id.encode())}", sha256_bytes(body).encode()
        if self._store.put_if_absent(key, digest):
            return True
        if self._store.get(key) != digest:
            raise ReplayedError(f"id {message_id} came before with another body")
        return False

    def _sweep(self) -> None:
        """Forget what is a day old by the store's clock, once an hour."""
        if time.monotonic() - self._swept < _KEPT / 24:
            return
        self._swept = time.monotonic()
        now = self._store.now()
        for info in list(self._store.list("")):
            if info.modified < now - _KEPT:
                self._store.delete(info.key)


@dataclass(frozen=True)
class _Route:
    """How posts of one source are checked, and what follows from them."""

    source: str
    secret: SecretStr | None
    headers: tuple[str, str, str]
    choose: Callable[[Document], tuple[str, Document] | None]
    start: Starter
    received: Received

    async def answer(self, request: Request) -> Response:
        if self.secret is None:
            return _refusal(404, "not_found", f"no key is set for /{self.source}")
        try:
            body = await _body(request)
        except ClientDisconnect:
            return _refusal(408, "input", "the post did not arrive")  # nobody hears it
        if body is None:
            return _refusal(413, "input", f"a post has at most {MOST_BYTES} bytes")
        message_id, timestamp, signature = (request.headers.get(name, "") for name in self.headers)
        try:
            verify(
                self.secret.get_secret_value(),
                message_id=message_id,
                timestamp=timestamp,
                body=body,
                signature=signature,
            )
            return JSONResponse(await asyncio.to_thread(self._act, message_id, body))
        except MtlError as error:
            return _refusal(_status(error), error.kind, error.message)

    def _act(self, message_id: str, body: bytes) -> Document:
        new = self.received.check(self.source, message_id, body)
        chosen = self.choose(_document(body))
        if chosen is None:
            return {"started": None, "reason": "nothing follows from this event"}
        deployment, parameters = chosen
        run = self.start(deployment, parameters, idempotency_key=f"webhook-{self.source}-{message_id}")
        return {"started": deployment, "run": run["id"], "name": run.get("name"), "again": not new}


def make_app(
    settings: WebhookSettings, start: Starter, received: Received, metrics: Callable[[], str] = lambda: ""
) -> FastAPI:
    """The application. metrics: the text of GET /metrics."""
    app = FastAPI(title="mtl webhooks", docs_url=None, redoc_url=None, openapi_url=None)
    routes = (
        _Route("mlflow", settings.mlflow_secret, _MLFLOW, partial(_on_alias, settings), start, received),
        _Route("data", settings.secret, _STANDARD, lambda post: (settings.on_data, _known(post)), start, received),
    )
    for route in routes:
        app.post(f"/{route.source}", response_model=None)(route.answer)

    @app.get("/health")
    def health() -> Document:
        return {"ok": True}

    @app.get("/metrics")
    def prometheus(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        token = shown(settings.metrics_token)
        if token is None or not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return _refusal(404 if token is None else 401, "signature", "GET /metrics needs the bearer token")
        return PlainTextResponse(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app


async def _body(request: Request) -> bytes | None:
    """The body, None if it is longer than anything that is meant well. Errors: ClientDisconnect."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _document(body: bytes) -> Document:
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise InputError("the body is not JSON") from None
    if not isinstance(document, dict):
        raise InputError("the body is no JSON object")
    return document


def _on_alias(settings: WebhookSettings, post: Document) -> tuple[str, Document] | None:
    """What MLflow's post starts: something only if a person may have moved `champion`."""
    data = post.get("data")
    if post.get("entity") != _ALIAS or not isinstance(data, dict) or data.get("alias") != _WATCHED:
        return None
    name = data.get("name")
    if not isinstance(name, str):
        raise InputError("the post names no model")
    return settings.on_alias, {"model": name}


def _known(post: Document) -> Document:
    """Parameters of the run that new data start: those that the post gives, else the deployment's own."""
    parameters = post.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InputError("`parameters` is no object")
    return parameters


def _status(error: MtlError) -> int:
    """HTTP's word: 5xx for what the sender should try again."""
    if isinstance(error, WebhookSignatureError):
        return 401
    if isinstance(error, ReplayedError):
        return 409
    if isinstance(error, TransientError | NotFoundError):  # a deployment that is not there yet may come
        return 503
    return 400 if isinstance(error, InputError) else 502


def _refusal(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"kind": kind, "message": message}}, status_code=status)
