"""Metrics: what Prometheus scrapes from the server. Each server has a registry of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mtl.mlflow_backend.body_limit import App, Message, Receive, Send

_PATHS = ("/v1/generate", "/v1/feedback", "/invocations")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_REASONS = {401: "key", 408: "slow", 413: "body", 429: "queue_full"}


class Metrics:
    """Counters of one server. health, waiting: asked when the metrics are scraped."""

    def __init__(self, health: Callable[[], Mapping[str, Any]]) -> None:
        self.registry = registry = CollectorRegistry()
        self._health = health
        labels = ["path", "task", "status"]
        self.requests = Counter("mtl_serve_requests", "requests that were answered", labels, registry=registry)
        self.seconds = Histogram(
            "mtl_serve_request_seconds",
            "from the head of a request to its answer",
            ["path", "task"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.refused = Counter("mtl_serve_refused", "requests and texts refused", ["reason"], registry=registry)
        self.batches = Histogram("mtl_serve_batch_texts", "texts answered together", registry=registry, buckets=_TEXTS)
        self.queue = Gauge("mtl_serve_queue_texts", "texts that wait for a batch", registry=registry)
        self._version = Gauge("mtl_serve_version", "version that answers; 0: none", ["model"], registry=registry)
        self._seq = Gauge("mtl_serve_journal_seq", "entry of the journal that is followed", registry=registry)
        self._fault = Gauge("mtl_serve_fault", "1 if a newer champion could not be served", registry=registry)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        health = self._health()
        self._version.labels(health["model"]).set(health["version"] or 0)
        self._seq.set(health["seq"] or 0)
        self._fault.set(health["fault"] is not None)
        return generate_latest(self.registry)


class Measured:
    """An ASGI app around `app` that counts its responses. What endpoints know of a request they leave in its state:
    `task`, and the `refusal`'s reason."""

    def __init__(self, app: App, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _PATHS:
            await self._app(scope, receive, send)
            return
        begun, path = time.monotonic(), scope["path"]
        state = scope.setdefault("state", {})

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status, task = message["status"], state.get("task", "")
                self._metrics.requests.labels(path, task, status).inc()
                self._metrics.seconds.labels(path, task).observe(time.monotonic() - begun)
                if status >= 400:
                    self._metrics.refused.labels(state.get("refusal") or _REASONS.get(status, str(status))).inc()
            await send(message)

        await self._app(scope, receive, counted)
