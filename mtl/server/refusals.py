"""Refusals: every response from 400 on is the project's error document, and repeats nothing of what was sent."""

from __future__ import annotations

import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from mtl.errors import InternalError, MtlError, NotFoundError, PermanentError, TransientError

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1
_STATUS = {
    "queue_full": 429,
    "gone": 499,
    "conflict": 409,
}  # 499: nobody reads the response, and logs and metrics call it so
_DESCRIBED = "/openapi.json describes the body"
_LONG_NUMBER = re.compile(r"\d{25,}")


def add_handlers(app: FastAPI) -> None:
    """Answer the errors of the app's endpoints."""
    app.add_exception_handler(MtlError, _own)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def status_of(error: MtlError) -> int:
    """The HTTP status that says what kind of error it is."""
    if error.kind in _STATUS:
        return _STATUS[error.kind]
    if isinstance(error, TransientError):
        return 503
    if isinstance(error, NotFoundError):
        return 404
    return 422 if error.exit_code == 2 else 500


def refuse(request: Request, status: int, error: MtlError) -> Response:
    """The response that says so."""
    request.state.refusal = error.kind
    document: dict[str, Any] = error.to_dict()
    message = str(document["error"]["message"])
    document["error"]["message"] = _LONG_NUMBER.sub(lambda digits: f"(a number of {len(digits[0])} digits)", message)
    headers = {"retry-after": str(_RETRY_SECONDS)} if status in (429, 503) else {}
    return JSONResponse(document, status_code=status, headers=headers)


async def _own(request: Request, error: Exception) -> Response:
    assert isinstance(error, MtlError)
    status = status_of(error)
    if status != 500:
        return refuse(request, status, error)
    _log.error("a request could not be answered: %s", error)
    return refuse(request, 500, InternalError("the model could not answer", hint="the server's log says why"))


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes) and error.body:  # FastAPI parses what is said to be JSON
        hint = f"send the header Content-Type: application/json; {_DESCRIBED}"
        said = "the Content-Type of the body is not application/json"
        return refuse(request, 415, _Malformed(said, field="Content-Type", hint=hint))
    fault = error.errors()[0]
    if fault["type"] == "json_invalid":
        return refuse(request, 400, _Malformed("the body is not valid JSON", hint=_DESCRIBED))
    place = [str(part) for part in fault["loc"] if part != "body"]
    message = str(fault["msg"])
    if fault["type"] == "extra_forbidden":  # the field's name is the caller's text, which no response repeats
        place = place[:-1]
        message = f"there is an unknown field{' in ' if place else ''}{'.'.join(place)}"
    return refuse(request, 422, _Malformed(message, field=".".join(place) or None, hint=_DESCRIBED))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        paths = ", ".join(["/invocations", *request.app.openapi()["paths"]])
        nothing = NotFoundError("there is nothing here", hint=f"there is {paths}")
        return refuse(request, error.status_code, nothing)
    return refuse(request, error.status_code, _Malformed("the request could not be read", hint=_DESCRIBED))


async def _unforeseen(request: Request, error: Exception) -> Response:
    return refuse(request, 500, InternalError("the request could not be answered", hint="the server's log says why"))


class _Malformed(PermanentError):
    """What FastAPI could not read."""

    kind = "input"
