"""The app of `mtl serve`: a typed API, health and metrics, and MLflow's scoring protocol beside it.

app = make_app(OneModel(model))    # POST /v1/generate, POST /invocations, GET /health, /metrics, /docs
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from pydantic import SecretStr
from starlette.routing import Route

from mtl.mlflow_backend.body_limit import BodyLimit
from mtl.mlflow_backend.server import delegating_model, few_threads, scoring_app
from mtl.server.access import KeyRequired, LocalHost
from mtl.server.batching import Batcher
from mtl.server.docs import new_app
from mtl.server.generating import Limits, generate_router
from mtl.server.metrics import Measured, Metrics
from mtl.server.refusals import add_handlers
from mtl.server.scoring import Watched, generate_for_mlflow
from mtl.server.served import ServedModels
from mtl.server.telling import Hooks

__all__ = ["Hooks", "Limits", "make_app"]

_LIMITS, _HOOKS = Limits(), Hooks()
_SCORING = ("/invocations", "/ping", "/version")
_DEAD = {
    "kind": "internal",
    "message": "the thread that answers has ended",
    "hint": "start the server again; its log may say why",
    "version": None,
}


def make_app(
    models: ServedModels,
    *,
    limits: Limits = _LIMITS,
    key: SecretStr | None = None,
    hooks: Hooks = _HOOKS,
    routers: Sequence[APIRouter] = (),
    collectors: Sequence[Collector] = (),
    logs: bool = False,
) -> FastAPI:
    """The app that answers with `models`, whose `current` is called between two batches, by one thread alone.

    key: what callers must send; None: nothing, and then only this machine may reach it (`mtl.server.access`). routers:
    other parts of the API. collectors: of other metrics. logs: whether answers are logged, for /health. When the app
    ends, what is in the queue is answered first.
    """
    metrics = Metrics(models.health)
    for collector in collectors:
        metrics.registry.register(collector)
    batcher = Batcher(models, most_waiting=limits.waiting, observe=metrics.batches.observe)
    metrics.queue.set_function(lambda: batcher.waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with few_threads(app):
            try:
                yield
            finally:
                await asyncio.to_thread(batcher.close)

    app = new_app(title="mtl-retrain", lifespan=lifespan, redirect_slashes=False)  # a redirect would say nothing
    add_handlers(app)
    app.include_router(generate_router(batcher, metrics, limits=limits, hooks=hooks, key=key))
    for router in routers:
        app.include_router(router)

    @app.get("/health", summary="Which model answers")
    async def health() -> JSONResponse:
        found = {**models.health(), "log": logs}
        if not batcher.alive:
            found["fault"] = _DEAD
        answers = found["since"] and batcher.alive  # since: None while it has no model yet
        return JSONResponse(found, status_code=200 if answers else 503)

    @app.get("/metrics", summary="What Prometheus scrapes", response_class=Response)
    async def scrape() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    scoring = Watched(scoring_app(delegating_model(generate_for_mlflow(batcher, hooks))), seconds=limits.seconds)
    app.router.routes.extend(Route(path, scoring) for path in _SCORING)
    app.add_middleware(BodyLimit, most=limits.max_body)
    if key is None:
        app.add_middleware(LocalHost)
    else:
        app.add_middleware(KeyRequired, key=key)
    app.add_middleware(Measured, metrics=metrics)  # the outermost: it sees what the others refuse
    return app
