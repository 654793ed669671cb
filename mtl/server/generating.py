"""POST /v1/generate."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Security
from fastapi.security import HTTPBearer
from pydantic import SecretStr

from mtl.decoding import Decoding
from mtl.errors import InputError, MtlError, NotFoundError, did_you_mean
from mtl.server.batching import Batcher, Served, Wanted
from mtl.server.marks import Marked, can_mark
from mtl.server.metrics import Metrics
from mtl.server.telling import CallerGone, Hooks, record_of, tell, tell_failure, too_late
from mtl.server.wire import AnswerBody, ErrorBody, ErrorDocument, GenerateRequest, GenerateResponse
from mtl.serving.demo import world_note
from mtl.tasks.table import TASKS, get_task

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorDocument, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The key is missing or wrong.",
        404: "There is no such task, or the model was not trained on it.",
        408: "The body did not arrive in time.",
        413: "The body is too large.",
        415: "The Content-Type is not application/json.",
        422: "A field is wrong, or the one text cannot be answered.",
        429: "Too many texts wait. Retry-After says when to try again.",
        500: "The model could not answer.",
        503: "The answer did not come in time, or the server ends.",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Limits:
    """max_body: bytes of a request. waiting: texts in the queue. texts: of one request. seconds: for an answer."""

    max_body: int = 8 * 2**20
    waiting: int = 256
    texts: int = 64
    seconds: float = 60.0


def generate_router(
    batcher: Batcher,
    metrics: Metrics,
    *,
    limits: Limits,
    hooks: Hooks,
    key: SecretStr | None,
) -> APIRouter:
    """The router of POST /v1/generate. key: whether the OpenAPI document asks for one."""
    security = [] if key is None else [Security(HTTPBearer(auto_error=False, description="MTL_SERVE_KEY"))]
    router = APIRouter(prefix="/v1", dependencies=security)

    @router.post("/generate", responses=_ERRORS, response_model_exclude_unset=True, summary="Answer texts")
    async def generate(body: GenerateRequest, request: Request) -> GenerateResponse:
        begun = time.monotonic()
        wanted = _wanted(body, limits)
        request.state.task = wanted.task
        ticket = batcher.submit(wanted)
        try:
            served = await _in_time(ticket.future, request, limits.seconds)
        except MtlError as error:
            tell_failure(hooks, batcher, ticket, error)
            raise
        refused = [answer for answer in served.answers if isinstance(answer, MtlError)]
        tell(hooks.on_refused, served.model.version, times=len(refused))
        if body.text is not None and refused:
            raise refused[0]
        metrics.refused.labels("text").inc(len(refused))
        response = GenerateResponse(
            model=served.model.name, version=served.model.version, answers=[_body(answer) for answer in served.answers]
        )
        if note := world_note(served.model.folder):
            response.note = note
        milliseconds = round(1000 * (time.monotonic() - begun), 1)
        for text, answer, shown in zip(wanted.texts, served.answers, response.answers, strict=True):
            if isinstance(answer, Marked):
                tell(hooks.on_answered, record_of(shown.id, wanted, text, answer, served, milliseconds))
        return response

    return router


def _wanted(body: GenerateRequest, limits: Limits) -> Wanted:
    """Errors: NotFoundError, InputError; none of them repeats what was sent."""
    if body.task not in TASKS:
        raise NotFoundError("no such task", field="task", hint=did_you_mean(body.task, TASKS))
    texts = tuple(body.texts) if body.texts is not None else (body.text or "",)
    if len(texts) > limits.texts:
        raise InputError(
            f"at most {limits.texts} texts in one request, got {len(texts)}",
            field="texts",
            hint="send several requests, or raise MTL_SERVE_TEXTS",
        )
    if body.marks and not can_mark(get_task(body.task)):
        raise InputError(f"{body.task} asks no questions that could be marked", field="marks", hint="leave marks out")
    decoding = Decoding(num_beams=body.num_beams, length_penalty=body.length_penalty, candidates=body.candidates)
    return Wanted(body.task, texts, body.asked, decoding, body.max_new_tokens, body.truncate, body.marks)


async def _in_time(future: Future[Served], request: Request, seconds: float) -> Served:
    """The answer, unless the caller goes away or the time is up: then the request is taken out of the queue."""
    work = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_disconnected(request))
    both: tuple[asyncio.Future[Any], ...] = (work, gone)
    try:
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise CallerGone("the caller went away") if gone.done() else too_late(seconds)
    finally:
        work.cancel()  # and with it the future, unless it is being answered
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _body(found: Marked | MtlError) -> AnswerBody:
    if isinstance(found, MtlError):
        return AnswerBody(id=uuid4().hex, error=ErrorBody.model_validate(found.to_dict()["error"]))
    shown = found.answer.to_dict()
    if found.marks is not None:
        shown["marks"] = found.marks
    if found.usable is not None:
        shown["usable"] = found.usable
    return AnswerBody(id=uuid4().hex, **shown)
