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
_LONG_NUMBER = re.compile(r"\d{25,}")


def add_handlers(app: FastAPI) -> None:
    """Answer the errors of the app's endpoints."""
    app.add_exception_handler(MtlError, _own)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def status_of(error: MtlError) -> int:
    """The HTTP status that says what kind of error it is."""
    if error.kind == "queue_full":
        return 429
    if isinstance(error, TransientError):
        return 503
    if isinstance(error, NotFoundError):
        return 404
    return 422 if error.exit_code == 2 else 500


def refuse(status: int, error: MtlError) -> Response:
    """The response that says so."""
    document: dict[str, Any] = error.to_dict()
    message = str(document["error"]["message"])
    document["error"]["message"] = _LONG_NUMBER.sub(lambda digits: f"(a number of {len(digits[0])} digits)", message)
    headers = {"retry-after": str(_RETRY_SECONDS)} if status in (429, 503) else {}
    return JSONResponse(document, status_code=status, headers=headers)


async def _own(request: Request, error: Exception) -> Response:
    assert isinstance(error, MtlError)
    status = status_of(error)
    if status != 500:
        return refuse(status, error)
    _log.error("a request could not be answered: %s", error)
    return refuse(500, InternalError("the model could not answer", hint="the server's log says why"))


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    if fault["type"] == "json_invalid":
        return refuse(400, _Malformed("the body is not valid JSON", hint="/openapi.json describes it"))
    field = ".".join(str(part) for part in fault["loc"] if part != "body") or None
    if fault["type"] == "extra_forbidden":  # its name is the caller's text
        field = field.rpartition(".")[0] or None if field else None
        where = f" in {field}" if field else ""
        return refuse(422, _Malformed(f"there is an unknown field{where}", hint="/openapi.json describes the body"))
    return refuse(422, _Malformed(str(fault["msg"]), field=field, hint="/openapi.json describes the body"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        there = ["/invocations", *request.app.openapi()["paths"]]
        return refuse(error.status_code, NotFoundError("there is nothing here", hint=f"there is {', '.join(there)}"))
    return refuse(error.status_code, _Malformed("the request could not be read"))


async def _unforeseen(request: Request, error: Exception) -> Response:
    return refuse(500, InternalError("the request could not be answered", hint="the server's log says why"))


class _Malformed(PermanentError):
    """What FastAPI could not read."""

    kind = "input"
