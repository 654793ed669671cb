"""POST /v1/feedback: what people say of an answer, kept in the store before the request is answered.

    app.include_router(feedback_router(store, "mtl-flan-t5", recent=recent, redaction=redaction))

The same feedback again is answered as before, so that a caller who got no answer can send it again. Nothing is kept of
who gave it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, TypeAdapter

from mtl.errors import InputError, NotFoundError, PermanentError, TransientError
from mtl.fingerprint import canonical_json
from mtl.server.recent import RecentAnswers
from mtl.server.wire import ErrorDocument
from mtl.store.base import ObjectStore
from mtl.traffic.corrections import check_feedback, redacted
from mtl.traffic.records import AnswerId, Feedback, Origin, Verdict
from mtl.traffic.redaction import Redaction
from mtl.traffic.store import find_feedback, write_feedback

_log = logging.getLogger(__name__)
_AGAIN = "send the same feedback again in a moment"
_SECONDS = 10.0
_AT_ONCE = 4
_LONGEST = 200_000  # characters, as `mtl.tasks.text.MAX_CHARS`
_MOST_QUESTIONS = 1000
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorDocument, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The key is missing or wrong.",
        404: "The answer is not remembered any more.",
        408: "The body did not arrive in time.",
        409: "There is other feedback for it already.",
        413: "The body is too large.",
        415: "The Content-Type is not application/json.",
        422: "It is no feedback for this answer.",
        503: "The store does not answer; send it again.",
    }.items()
}

Text = Annotated[StrictStr, Field(max_length=_LONGEST)]


class CorrectedQuestion(BaseModel):
    """A question as it should be."""

    model_config = ConfigDict(extra="forbid")

    question: Text
    options: Annotated[list[Text], Field(min_length=4, max_length=4, description="four different texts")]
    answer: Annotated[StrictStr, Field(pattern="^[A-D]$", description="letter of the right option")]
    difficulty: Annotated[Text, Field(description="as in a request, such as Easy, Medium or Hard")]


_TEXT: TypeAdapter[str] = TypeAdapter(Text)


def _of_its_type(value: Any) -> Any:
    """Read as what its JSON type says, so that an error is about that, and not about all that it could have been."""
    if isinstance(value, dict):
        return CorrectedQuestion.model_validate(value)
    return value if value is None else _TEXT.validate_python(value)


class FeedbackBody(BaseModel):
    """What somebody says of an answer, or of one of its questions."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[AnswerId, Field(description="id of the answer, as POST /v1/generate gave it")]
    verdict: Verdict
    question: Annotated[
        StrictInt | None, Field(ge=1, le=_MOST_QUESTIONS, description="number of the question; none: the whole answer")
    ] = None
    correction: Annotated[
        Text | CorrectedQuestion | None,
        BeforeValidator(_of_its_type),
        Field(description="with verdict corrected: the summary as it should be, or the question"),
    ] = None


class KeptFeedback(BaseModel):
    """What is kept of it. Texts are redacted."""

    id: str
    question: int | None
    verdict: Verdict
    correction: str | CorrectedQuestion | None
    at: str
    version: int | None


class OtherFeedbackError(InputError):
    """Feedback for an answer that has other feedback already."""

    kind = "conflict"


@dataclass(frozen=True)
class FeedbackKeeper:
    """Checks and keeps feedback. on_kept is called once for each that is new."""

    store: ObjectStore
    model: str
    recent: RecentAnswers
    redaction: Redaction
    on_kept: Callable[[Feedback], None]

    def keep(self, body: FeedbackBody, origin: Origin) -> tuple[Feedback, bool]:
        """(what is kept, whether it is new).

        Errors: NotFoundError for an answer that nobody remembers, InputError, OtherFeedbackError, those of the store.
        """
        given = self._feedback(body, origin)
        kept = write_feedback(self.store, self.model, given)
        if kept is given:
            self.on_kept(kept)
            return kept, True
        return _same(kept, given), False

    def _feedback(self, body: FeedbackBody, origin: Origin) -> Feedback:
        correction = body.correction.model_dump() if isinstance(body.correction, BaseModel) else body.correction
        said: dict[str, Any] = {"verdict": body.verdict, "question": body.question}
        answer = self.recent.get(body.id)
        if answer is None:
            kept = find_feedback(self.store, self.model, body.id, body.question)
            if kept is None:
                raise self._unknown()
            return replace(kept, **said, correction=self.redaction.value(correction))
        check_feedback(answer, body.verdict, question=body.question, correction=correction)
        given = Feedback(
            id=answer.id,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            task=answer.task,
            text=answer.text,
            request=answer.request,
            answer=answer.answer,
            version=answer.version,
            origin=origin,
            correction=correction,
            **said,
        )
        return redacted(given, self.redaction)

    def _unknown(self) -> NotFoundError:
        recent = self.recent
        said = f"the last {recent.most:,} answers, or {recent.most_bytes >> 20} MiB of them, since it started"
        hint = f"this server remembers {said}: ask for the answer again, and use its new id"
        return NotFoundError("no answer with this id is remembered", field="id", hint=hint)


def feedback_router(
    store: ObjectStore,
    model: str,
    *,
    recent: RecentAnswers,
    redaction: Redaction,
    on_kept: Callable[[Feedback], None] = lambda feedback: None,
    seconds: float = _SECONDS,
) -> APIRouter:
    """The router. model: the registered model, by whose name feedback is kept. seconds: that the store may take."""
    keeper = FeedbackKeeper(store, model, recent, redaction, on_kept)
    threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mtl-feedback")  # a store that hangs holds no others
    router = APIRouter(tags=["feedback"])

    @router.post(
        "/v1/feedback",
        status_code=201,
        response_model=KeptFeedback,
        responses={200: {"model": KeptFeedback, "description": "The same was kept before."}, **_ERRORS},
    )
    async def feedback(body: FeedbackBody, request: Request) -> JSONResponse:
        """Say of an answer whether it is good, or how it should be. It is kept before the answer comes."""
        # Browsers name the page that a post comes from, other callers do not.
        origin: Origin = "page" if "origin" in request.headers else "api"
        try:
            async with asyncio.timeout(seconds):
                kept, new = await asyncio.get_running_loop().run_in_executor(threads, keeper.keep, body, origin)
        except TimeoutError:
            raise TransientError("the store does not answer", hint=_AGAIN) from None
        except PermanentError as error:
            if isinstance(error, InputError | NotFoundError):
                raise
            _log.error("feedback could not be kept: %s", error.message)
            raise TransientError("feedback cannot be kept now", hint=f"{_AGAIN}; the server's log says why") from None
        return JSONResponse(_shown(kept), status_code=201 if new else 200)

    return router


def _same(kept: Feedback, given: Feedback) -> Feedback:
    """What was kept, if the same is given again. Errors: OtherFeedbackError."""
    said = [canonical_json([one.verdict, one.correction]) for one in (kept, given)]
    if said[0] != said[1]:
        of = "this answer" if kept.question is None else f"question {kept.question} of this answer"
        hint = "what was said first is kept; ask for the answer again to say something else of the new one"
        raise OtherFeedbackError(f"there is feedback for {of} already: {kept.verdict}", field="verdict", hint=hint)
    return kept


def _shown(kept: Feedback) -> dict[str, Any]:
    return {name: getattr(kept, name) for name in KeptFeedback.model_fields}
