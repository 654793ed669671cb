"""POST /v1/generate, and what POST /invocations asks of the same queue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Security
from fastapi.security import HTTPBearer
from pydantic import SecretStr

from mtl.decoding import Decoding
from mtl.errors import InputError, MtlError, NotFoundError, TransientError, did_you_mean
from mtl.server.batching import Batcher, Served, Wanted
from mtl.server.marks import Marked, can_mark
from mtl.server.metrics import Metrics
from mtl.server.refusals import status_of
from mtl.server.served import ServedModels
from mtl.server.wire import AnswerBody, ErrorBody, ErrorDocument, GenerateRequest, GenerateResponse
from mtl.serving.generate import Answer
from mtl.tasks.table import TASKS, get_task
from mtl.traffic.records import ServedAnswer

_log = logging.getLogger(__name__)
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorDocument, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The key is missing or wrong.",
        404: "There is no such task.",
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


def _ignore(found: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is told of POST /v1/generate: once for each text, in the thread of the event loop. They must not wait.

    on_answered: the answer. on_refused, on_failed: the version that refused a text, such as one that is too long, or
    that failed to answer it.
    """

    on_answered: Callable[[ServedAnswer], None] = _ignore
    on_refused: Callable[[int | None], None] = _ignore
    on_failed: Callable[[int | None], None] = _ignore


class TimeIsUp(TransientError):
    """The answer took longer than callers wait."""

    kind = "timeout"


class CallerGone(TransientError):
    """Nobody reads the answer."""

    kind = "gone"


def generate_router(
    batcher: Batcher,
    models: ServedModels,
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
        try:
            served = await _in_time(batcher.submit(wanted), request, limits.seconds)
        except MtlError as error:
            if status_of(error) == 500:
                _tell(hooks.on_failed, models.health()["version"], times=len(wanted.texts))
            raise
        refused = [answer for answer in served.answers if isinstance(answer, MtlError)]
        _tell(hooks.on_refused, served.model.version, times=len(refused))
        if body.text is not None and refused:
            raise refused[0]
        metrics.refused.labels("text").inc(len(refused))
        response = GenerateResponse(
            model=served.model.name, version=served.model.version, answers=[_body(answer) for answer in served.answers]
        )
        milliseconds = round(1000 * (time.monotonic() - begun), 1)
        for text, answer, shown in zip(wanted.texts, served.answers, response.answers, strict=True):
            if isinstance(answer, Marked):
                _tell(hooks.on_answered, _record(shown.id, wanted, text, answer, served, milliseconds))
        return response

    return router


def generate_for_mlflow(batcher: Batcher, limits: Limits) -> Callable[..., list[Answer]]:
    """`Generator.generate` for POST /invocations: in the queue with all others. One bad text refuses the request."""

    def generate(
        texts: Sequence[Any],
        task: str,
        *,
        request: Mapping[str, Any],
        max_new_tokens: int | None,
        truncate: bool,
        decoding: Decoding,
    ) -> list[Answer]:
        future = batcher.submit(Wanted(task, tuple(texts), request, decoding, max_new_tokens, truncate))
        try:
            served = future.result(limits.seconds)
        except TimeoutError:
            raise _too_late(limits.seconds) from None
        finally:
            future.cancel()
        answers = []
        for found in served.answers:
            if isinstance(found, MtlError):
                raise found
            answers.append(found.answer)
        return answers

    return generate


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
        raise CallerGone("the caller went away") if gone.done() else _too_late(seconds)
    finally:
        work.cancel()  # and with it the future, unless it is being answered
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_late(seconds: float) -> TimeIsUp:
    return TimeIsUp(
        f"the answer did not come within {seconds:g} seconds",
        hint="send fewer texts at a time, or try again when the server is less busy",
    )


def _body(found: Marked | MtlError) -> AnswerBody:
    if isinstance(found, MtlError):
        return AnswerBody(id=uuid4().hex, error=ErrorBody.model_validate(found.to_dict()["error"]))
    shown = found.answer.to_dict()
    if found.marks is not None:
        shown["marks"] = found.marks
    if found.usable is not None:
        shown["usable"] = found.usable
    return AnswerBody(id=uuid4().hex, **shown)


def _record(name: str, wanted: Wanted, text: str, found: Marked, served: Served, milliseconds: float) -> ServedAnswer:
    return ServedAnswer(
        id=name,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        task=wanted.task,
        text=text,
        request=get_task(wanted.task).complete(wanted.request),
        decoding=asdict(wanted.decoding),
        truncated=found.answer.truncated,
        answer=found.answer.text,
        version=served.model.version,
        milliseconds=milliseconds,
        usable=found.usable,
        marks=found.marks,
    )


def _tell(hook: Callable[[Any], None], found: Any, *, times: int = 1) -> None:
    """A hook that fails is logged, and costs the caller nothing."""
    try:
        for _ in range(times):
            hook(found)
    except Exception:
        _log.exception("what was served could not be told on")
