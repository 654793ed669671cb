"""Refusals: every response from 400 on is the project's error document, and repeats nothing of what was sent."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Route

from mtl.errors import InternalError, MtlError, NotFoundError, PermanentError, TransientError, did_you_mean

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1
_STATUS = {
    "queue_full": 429,
    "gone": 499,
    "conflict": 409,
}  # 499: nobody reads the response, and logs and metrics call it so
_DESCRIBED = "/openapi.json describes the body"
_NO_OBJECT = ("missing", "model_attributes_type", "model_type", "dict_type")
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
    message, hint = str(fault["msg"]), _DESCRIBED
    if fault["type"] == "extra_forbidden":  # the field's name is the caller's text, which no response repeats
        *place, unknown = place
        message = f"there is an unknown field{' in ' if place else ''}{'.'.join(place)}"
        known = _fields(request, place)
        hint = f"{did_you_mean(unknown[:100], known)}; {_DESCRIBED}" if known else _DESCRIBED
    elif not place and fault["type"] in _NO_OBJECT:
        message = "the body is empty" if fault["type"] == "missing" else "the body is no JSON object"
        hint = f"send an object with the fields {', '.join(_fields(request, []))}; {_DESCRIBED}"
    elif fault["type"] == "string_pattern_mismatch" and place[-1] == "id":
        message, hint = "this is no id of an answer", "an id has 32 of the digits 0-9 and a-f; each answer has one"
    return refuse(request, 422, _Malformed(message, field=".".join(place) or None, hint=hint))


def _fields(request: Request, place: Sequence[str]) -> list[str]:
    """The fields of the body, or of an object in it; empty where the OpenAPI document alone says them."""
    route = request.scope.get("route")
    model: Any = route.body_field.field_info.annotation if isinstance(route, APIRoute) and route.body_field else None
    for name in place:
        model = model.model_fields[name].annotation if name in getattr(model, "model_fields", {}) else None
    return list(getattr(model, "model_fields", {}))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow")
    if error.status_code == 405 and allowed:
        response = refuse(request, 405, NotFoundError(f"{request.method} is not possible here", hint=f"use {allowed}"))
        response.headers["allow"] = allowed
        return response
    if error.status_code in (404, 405):
        others = (route.path for route in request.app.routes if isinstance(route, Route) and "oauth2" not in route.path)
        paths = dict.fromkeys(["/", *request.app.openapi()["paths"], *others])
        nothing = NotFoundError("there is nothing here", hint=f"there is {', '.join(paths)}")
        return refuse(request, error.status_code, nothing)
    if isinstance(error.__cause__, UnicodeDecodeError):
        return refuse(request, 400, _Malformed("the body is not UTF-8", hint="send JSON in UTF-8"))
    if isinstance(error.__cause__, RecursionError):
        return refuse(request, 400, _Malformed("the body is nested too deeply", hint=_DESCRIBED))
    return refuse(request, error.status_code, _Malformed("the request could not be read", hint=_DESCRIBED))


async def _unforeseen(request: Request, error: Exception) -> Response:
    return refuse(request, 500, InternalError("the request could not be answered", hint="the server's log says why"))


class _Malformed(PermanentError):
    """What FastAPI could not read."""

    kind = "input"
