"""MLflow's scoring server for one model, where every request that cannot be read is answered 400.

    serve(folder, host="127.0.0.1", port=5002)      curl localhost:5002/invocations -d '{"inputs": ["a text"]}' …

MLflow's own server (`mlflow models serve`) answers the same, but gives 500 to some bodies that its parser cannot read,
such as a column named by a list, and to requests without a Content-Type, before it looks at the model.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from mlflow.pyfunc import load_model
from mlflow.pyfunc.scoring_server import init

from mtl.connections import bounded
from mtl.registry.package import packaged

_log = logging.getLogger(__name__)


def scoring_app(model: Any) -> FastAPI:
    """The app that answers POST /invocations, GET /ping, /health and /version for `model`, a loaded pyfunc."""
    app: FastAPI = init(model)

    # The model's own errors are MlflowExceptions with a status by the time they leave MLflow; whatever else gets
    # this far was raised while the request was parsed.
    @app.middleware("http")
    async def refuse_unreadable(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            return await call_next(request)
        except Exception as error:
            _log.warning("a request could not be read: %s: %s", type(error).__name__, error)
            reason = f"the request could not be read: {type(error).__name__}: {error}"
            return JSONResponse({"error_code": "BAD_REQUEST", "message": reason}, status_code=400)

    return app


def serve(folder: Path, *, host: str, port: int) -> None:
    """Serve the trained model in `folder` until interrupted. Errors: InputError, DamageError if it is none."""
    with packaged(folder) as packed:
        app = scoring_app(load_model(str(packed)))
        uvicorn.run(app, **bounded(), host=host, port=port, log_level="info")
