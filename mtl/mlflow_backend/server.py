"""MLflow's scoring server for one model, where every request that cannot be read is answered 400.

    scoring_app(delegating_model(generator.generate))    curl …/invocations -d '{"inputs": ["a text"]}' …

MLflow's own server (`mlflow models serve`) answers the same, but reads bodies of any size, repeats in its errors what
it was sent, and gives 500 to some bodies that its parser cannot read, such as a column named by a list.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from mlflow.models import Model
from mlflow.pyfunc import FLAVOR_NAME, MAIN, PyFuncModel
from mlflow.pyfunc.scoring_server import init

from mtl.errors import MtlError, TransientError
from mtl.mlflow_backend.package import signature
from mtl.mlflow_backend.pyfunc import answers
from mtl.tasks.table import request_parameters

_log = logging.getLogger(__name__)
_ANSWERED_AT_ONCE = 4
_VALUES = {bool: "true", int: "N", float: "X", str: "TEXT"}
_REQUEST = "".join(f'"{name}": {_VALUES[its.kind]}, ' for name, (its, _) in request_parameters().items())
_FORM = (
    'send {"inputs": [TEXT, ...]} or {"dataframe_records": [{"text": TEXT}, ...]} as application/json, if need be with '
    f'"params": {{"task": NAME, {_REQUEST}"max_new_tokens": N, "truncate": true}}'
)
_CODES = {429: "REQUEST_LIMIT_EXCEEDED", 503: "TEMPORARILY_UNAVAILABLE"}
_UNREADABLE = "the request could not be read"
# What MLflow says of a request -> the same without the request. Its own texts repeat what they were given.
_KNOWN = {
    "valid JSON": "the body is not valid JSON",
    "exactly one of the input fields": "the body must be an object with exactly one of the input fields",
    "Parameters must be a dictionary": "Parameters must be a dictionary",
    "Model is missing inputs": "Model is missing inputs: it needs the column text, as strings",
    "for param": "a parameter has the wrong type: task is a text, truncate true or false, max_new_tokens a whole number"
    + "".join(f", {name} {its.expected}" for name, (its, _) in request_parameters().items()),
    "only supports UTF-8": "the scoring server only supports UTF-8",
    "content type": "the Content-Type is not one that this server reads",
    "CSV-formatted": "the body is not a valid CSV file",
    "surrogates not allowed": "a text is no valid Unicode: surrogates not allowed",
}
_LONG_NUMBER = re.compile(r"\d{25,}")


def scoring_app(model: Any) -> FastAPI:
    """The app that answers POST /invocations, GET /ping, /health and /version for `model`, a loaded pyfunc.

    No answer repeats what a request held, so that nothing of it stands in the caller's logs.
    """
    logging.getLogger("mlflow.models.utils").setLevel(logging.ERROR)  # its warnings repeat names that a caller sent
    app: FastAPI = init(model)
    app.router.lifespan_context = few_threads

    # The model's own errors are MlflowExceptions with a status by the time they leave MLflow; whatever else gets
    # this far was raised while the request was parsed.
    @app.middleware("http")
    async def refuse_in_own_words(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            answer: Any = await call_next(request)
        except Exception as error:
            _log.warning("a request could not be read: %s", type(error).__name__)
            return _refusal(400, _reason(str(error), f"{_UNREADABLE} ({type(error).__name__})"))
        if answer.status_code < 400:
            return answer  # type: ignore[no-any-return]
        body = b"".join([chunk async for chunk in answer.body_iterator])
        return _in_own_words(answer.status_code, body)

    return app


@asynccontextmanager
async def few_threads(app: FastAPI) -> AsyncIterator[None]:
    """Requests whose time was up go on in their threads: few of them, so that they cannot fill the memory."""
    with ThreadPoolExecutor(_ANSWERED_AT_ONCE, thread_name_prefix="mtl-serve") as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        yield


def _in_own_words(status: int, body: bytes) -> Response:
    """MLflow's error without what it repeats; what the model said of a request is in `refusal`."""
    try:
        document = json.loads(body)
    except ValueError:
        document = {"message": body.decode("utf-8", "replace")}
    if not isinstance(document, dict):
        document = {}
    said = document.get("refusal")
    if isinstance(said, dict):
        text = f"{said['message']}\n  {said['hint']}" if said["hint"] else str(said["message"])
        return _refusal(status, text, kind=said["kind"], field=said["field"])
    if status in (404, 405):
        return _refusal(status, "POST /invocations, GET /ping, /health and /version is what there is")
    if status == 504:
        return _refusal(status, "the answer took too long; send fewer texts at a time")
    if status >= 500 or "stack_trace" in document:  # neither it nor MLflow's message is logged: they repeat the request
        _log.error("a request to /invocations could not be answered (MLflow's status %d)", status)
        other = "the model could not answer; the server's log says why"
        return _refusal(status, other if status >= 500 else f"{other}\n  {_FORM}")
    return _refusal(status, _reason(str(document.get("message")), _UNREADABLE))


def _reason(text: str, otherwise: str) -> str:
    found = next((own for theirs, own in _KNOWN.items() if theirs in text), otherwise)
    return f"{found}\n  {_FORM}"


def _refusal(status: int, message: str, **more: Any) -> Response:
    code = _CODES.get(status, "BAD_REQUEST" if status < 500 else "INTERNAL_ERROR")
    shown = _LONG_NUMBER.sub(lambda digits: f"(a number of {len(digits[0])} digits)", message)
    headers = {"retry-after": "1"} if status in (429, 503) else {}
    return JSONResponse({"error_code": code, "message": shown, **more}, status_code=status, headers=headers)


def delegating_model(generate: Callable[..., list[Any]]) -> Any:
    """A model for `scoring_app` with the signature of the registered one, whose answers `generate` writes.

    generate: takes what `Generator.generate` takes.
    """

    class Delegating:
        def predict(self, data: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
            return answers(logged, data["text"].tolist(), params or {})

    def logged(*args: Any, **options: Any) -> list[Any]:
        try:
            return generate(*args, **options)
        except MtlError as error:
            if error.exit_code != 2 and not isinstance(error, TransientError):  # neither the request nor the moment
                _log.error("the model could not answer: %s", error)
            raise
        except Exception as error:  # where, not what it says, which may hold a text
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("the model could not answer: %s\n%s", type(error).__name__, where)
            raise

    flavors = {FLAVOR_NAME: {MAIN: "mlflow.pyfunc.model"}}
    return PyFuncModel(Model(signature=signature(), flavors=flavors), Delegating())
