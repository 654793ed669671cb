"""The app of `mtl serve`: a typed API, health and metrics, and MLflow's scoring protocol beside it.

app = make_app(OneModel(model))    # POST /v1/generate, POST /invocations, GET /health, /metrics, /docs
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, FastAPI, Request
from starlette.routing import Route

from mtl.decoding import Decoding
from mtl.errors import InputError, MtlError, NotFoundError, TransientError, did_you_mean
from mtl.mlflow_backend.body_limit import BodyLimit
from mtl.mlflow_backend.server import delegating_model, few_threads, scoring_app
from mtl.server.batching import Batcher, Served, Wanted
from mtl.server.refusals import add_handlers
from mtl.server.served import ServedModels
from mtl.server.wire import AnswerBody, ErrorBody, ErrorDocument, GenerateRequest, GenerateResponse
from mtl.serving.generate import Answer
from mtl.tasks.table import TASKS, get_task
from mtl.traffic.records import ServedAnswer

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorDocument, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The key is missing or wrong.",
        404: "There is no such task.",
        413: "The body is too large.",
        422: "A field is wrong, or the text cannot be answered.",
        429: "Too many texts wait. Retry-After says when to try again.",
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


class TimeIsUp(TransientError):
    """The answer took longer than callers wait."""

    kind = "timeout"


def make_app(
    models: ServedModels,
    *,
    limits: Limits = Limits(),
    on_answered: Callable[[ServedAnswer], None] = lambda answer: None,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """The app that answers with `models`. It must be started (its lifespan makes the thread that answers).

    on_answered: called for each text that POST /v1/generate answered; it must neither wait nor raise.
    """
    batcher = Batcher(models, most_waiting=limits.waiting)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with few_threads(app):
            try:
                yield
            finally:
                await asyncio.to_thread(batcher.close)

    app = FastAPI(title="mtl-retrain", lifespan=lifespan, docs_url=None, redoc_url=None)
    add_handlers(app)
    app.include_router(_generate_router(batcher, limits, on_answered))
    for router in routers:
        app.include_router(router)

    @app.get("/health", summary="Which model answers")
    async def health() -> dict[str, Any]:
        return dict(models.health())

    scoring = scoring_app(delegating_model(_generate_for_mlflow(batcher, limits)))
    for path in ("/invocations", "/ping", "/version"):
        app.router.routes.append(Route(path, scoring))
    app.add_middleware(BodyLimit, most=limits.max_body)
    return app


def _generate_router(batcher: Batcher, limits: Limits, on_answered: Callable[[ServedAnswer], None]) -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.post("/generate", responses=_ERRORS, response_model_exclude_unset=True, summary="Answer texts")
    async def generate(body: GenerateRequest, request: Request) -> GenerateResponse:
        begun = time.monotonic()
        wanted = _wanted(body, limits)
        served = await _in_time(batcher.submit(wanted), request, limits.seconds)
        if body.text is not None and isinstance(served.answers[0], MtlError):
            raise served.answers[0]
        milliseconds = 1000 * (time.monotonic() - begun)
        found = [_body(answer) for answer in served.answers]
        for text, answer, shown in zip(wanted.texts, served.answers, found, strict=True):
            if isinstance(answer, Answer):
                on_answered(_record(shown.id, wanted, text, answer, served, milliseconds))
        return GenerateResponse(model=served.model.name, version=served.model.version, answers=found)

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
    decoding = Decoding(num_beams=body.num_beams, length_penalty=body.length_penalty, candidates=body.candidates)
    return Wanted(
        body.task,
        texts,
        request=body.asked,
        decoding=decoding,
        max_new_tokens=body.max_new_tokens,
        truncate=body.truncate,
        marks=body.marks,
    )


async def _in_time(future: Future[Served], request: Request, seconds: float) -> Served:
    """The answer, unless the caller goes away or the time is up: then the request is taken out of the queue."""
    work = asyncio.wrap_future(future)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({work, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        if gone.done():
            raise TimeIsUp("the caller went away")
        raise TimeIsUp(
            f"the answer did not come within {seconds:g} seconds",
            hint="send fewer texts at a time, or try again when the server is less busy",
        )
    finally:
        future.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _body(answer: Answer | MtlError) -> AnswerBody:
    if isinstance(answer, MtlError):
        return AnswerBody(id=uuid4().hex, error=ErrorBody.model_validate(answer.to_dict()["error"]))
    return AnswerBody(id=uuid4().hex, **answer.to_dict())


def _record(name: str, wanted: Wanted, text: str, answer: Answer, served: Served, milliseconds: float) -> ServedAnswer:
    return ServedAnswer(
        id=name,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        task=wanted.task,
        text=text,
        request=get_task(wanted.task).complete(wanted.request),
        decoding=asdict(wanted.decoding),
        truncated=answer.truncated,
        answer=answer.text,
        version=served.model.version,
        milliseconds=round(milliseconds, 1),
    )


def _generate_for_mlflow(batcher: Batcher, limits: Limits) -> Callable[..., list[Answer]]:
    """`Generator.generate` for POST /invocations: in the queue with all others. One bad text refuses the request."""

    def generate(
        texts: Sequence[Any],
        task: str = "summarize",
        *,
        request: Any,
        max_new_tokens: Any,
        truncate: bool,
        decoding: Any,
    ) -> list[Answer]:
        wanted = Wanted(task, tuple(texts), request, decoding, max_new_tokens, truncate)
        future = batcher.submit(wanted)
        try:
            served = future.result(limits.seconds)
        except TimeoutError:
            raise TimeIsUp(f"the answer did not come within {limits.seconds:g} seconds") from None
        finally:
            future.cancel()
        answers = []
        for answer in served.answers:
            if isinstance(answer, MtlError):
                raise answer
            answers.append(answer)
        return answers

    return generate
