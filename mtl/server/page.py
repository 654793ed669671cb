"""The page of `mtl serve` for people: one file without any outside request, and what it needs besides the API.

What users and models wrote reaches the page as JSON and is only ever set as text. The page's policy allows its own
script and style by their hashes and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from mtl.errors import NotFoundError, did_you_mean
from mtl.parameter import Parameter
from mtl.server.support import Support, support
from mtl.server.wire import ErrorDocument
from mtl.task import Task
from mtl.tasks.table import TASKS
from mtl.tasks.text import MAX_CHARS

_FOLDER = Path(__file__).parent
_INPUTS = {bool: "checkbox", int: "whole", float: "number", str: "text"}

_Text = Annotated[str, StringConstraints(max_length=MAX_CHARS)]


class SupportRequest(BaseModel):
    """text: as it was sent to /v1/generate. answer: what came back, its `text` if it is a quiz, else its `output`."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    task: str
    text: _Text
    answer: _Text


def page_router() -> APIRouter:
    """`GET /`, and `POST /v1/support`, which says what in a text supports an answer."""
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        html, policy = _page()
        return HTMLResponse(html, headers=_HEADERS | {"Content-Security-Policy": policy})

    @router.post("/v1/support", responses=_ERRORS, summary="Find what supports an answer")
    def supported(asked: SupportRequest) -> Support:
        """Where a text supports an answer: the sentence nearest to each question's key, and the parts of another
        answer, each with whether the text has it."""
        if asked.task not in TASKS:
            raise NotFoundError("no such task", field="task", hint=did_you_mean(asked.task, TASKS))
        return support(TASKS[asked.task], asked.text, asked.answer)

    return router


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorDocument, "description": description}
    for status, description in {
        400: "The body is not JSON.",
        401: "The key is missing or wrong.",
        404: "There is no such task.",
        413: "The body is too large.",
        415: "The Content-Type is not application/json.",
        422: "A field is wrong, or the task does not take the text.",
    }.items()
}
_HEADERS = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@cache
def _page() -> tuple[str, str]:
    """The page and its Content-Security-Policy."""
    style, script = ((_FOLDER / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    tasks = json.dumps([_shown(task) for task in TASKS.values()]).replace("<", "\\u003c")
    html = (_FOLDER / "page.html").read_text(encoding="utf-8")
    for name, part in (("style", style), ("script", script), ("tasks", tasks)):
        html = html.replace(f"{{{{ {name} }}}}", part)
    return html, "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {_hash(script)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


def _hash(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def _shown(task: Task) -> dict[str, Any]:
    """What the page must know of a task."""
    return {
        "name": task.name,
        "quiz": task.questions is not None,
        "confirmable": task.questions is not None and task.compose is not None,
        "levels": task.groups.names,
        "caveat": task.caveat,
        "parameters": [_field(parameter, task.default_request) for parameter in task.request],
    }


def _field(parameter: Parameter, defaults: Any) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "description": parameter.description,
        "kind": "choice" if parameter.choices else _INPUTS[parameter.kind],
        "choices": parameter.choices,
        "value": defaults.get(parameter.name, parameter.default),
        "low": parameter.low,
        "high": parameter.high,
    }
