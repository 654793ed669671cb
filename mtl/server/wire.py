"""What travels over HTTP: the requests and responses of the API, as its OpenAPI document describes them.

Nothing is converted: a number in quotes is refused. An unknown field is refused too, because a misspelt one would
change nothing and nobody would notice.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, StrictInt, create_model, model_validator
from pydantic_core import PydanticCustomError

from mtl.decoding import MOST_BEAMS, MOST_CANDIDATES, MOST_PENALTY
from mtl.parameter import Parameter
from mtl.serving.generate import LONGEST_TEXT, MOST_NEW_TOKENS
from mtl.tasks.table import TASKS, names_in_words, request_parameters

_MOST_TEXTS = 10_000  # the server's own limit is lower; see MTL_SERVE_TEXTS


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


_EITHER: list[JsonValue] = [
    {"required": ["text"], "properties": {"text": {"type": "string"}, "texts": {"type": "null"}}},
    {"required": ["texts"], "properties": {"texts": {"type": "array"}, "text": {"type": "null"}}},
]
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]


def _field(parameter: Parameter, tasks: str) -> Any:
    """The type and the default of one parameter: null is as if it were not there."""
    kind: Any = Literal[parameter.choices] if parameter.choices else parameter.kind
    ends = ("gt", "lt") if parameter.open else ("ge", "le")
    bounds = dict(zip(ends, (parameter.low, parameter.high), strict=True))
    given: dict[str, Any] = {name: bound for name, bound in bounds.items() if bound is not None}
    limited: Any = Annotated[kind, Field(**given)]
    return limited | None, Field(None, description=f"{parameter.description} (for {tasks})")


TaskRequest = create_model(
    "TaskRequest",
    __base__=_Strict,
    __doc__="Parameters of the task. Without any of them, the task's default request is answered.",
    **{name: _field(parameter, tasks) for name, (parameter, tasks) in request_parameters().items()},
)


class GenerateRequest(_Strict):
    """Either `text` or `texts`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": _EITHER})

    task: str = Field(description=names_in_words(), max_length=200, json_schema_extra={"enum": list(TASKS)})
    text: Text | None = Field(None, description="One text.")
    texts: Annotated[list[Text], Field(min_length=1, max_length=_MOST_TEXTS)] | None = Field(
        None, description="Several texts: one that cannot be answered costs the others nothing."
    )
    request: TaskRequest = Field(default_factory=TaskRequest)
    candidates: StrictInt = Field(
        1, ge=1, le=MOST_CANDIDATES, description="Answers to draw, of which only confirmed questions are kept."
    )
    num_beams: StrictInt = Field(1, ge=1, le=MOST_BEAMS, description="1 is greedy.")
    length_penalty: float = Field(1.0, ge=-MOST_PENALTY, le=MOST_PENALTY, allow_inf_nan=False)
    max_new_tokens: StrictInt | None = Field(None, ge=1, le=MOST_NEW_TOKENS, description="Default: the model's limit.")
    truncate: StrictBool = Field(False, description="Cut a text that is too long at its end instead of refusing it.")
    marks: StrictBool = Field(
        False, description="Let the base read the questions of each answer, and say how probable it finds each key."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise PydanticCustomError("text_or_texts", "give either text or texts")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """The parameters of the task that were given."""
        return self.request.model_dump(exclude_none=True)


class ErrorBody(BaseModel):
    """What was wrong, in which field, and what to do. It repeats nothing of the request's texts."""

    kind: str
    message: str
    field: str | None = None
    hint: str | None = None


class ErrorDocument(BaseModel):
    """Every response from 400 on."""

    error: ErrorBody


class AnswerBody(BaseModel):
    """The answer to one text, or `error`, and then nothing else but the id."""

    id: str = Field(description="Name of this answer, for feedback.", pattern=r"^[0-9a-f]{32}$")
    output: Any = Field(None, description="What the task reads in `text`; null if it is not of the task's form.")
    text: str | None = Field(None, description="As the model wrote it.")
    truncated: bool | None = None
    missing: dict[str, int] | None = Field(None, description="With candidates: what was requested and not found.")
    marks: list[float] | None = Field(None, description="For each question, how probable the base finds its key.")
    usable: bool | None = Field(None, description="Whether everything that was asked for is there and can be used.")
    error: ErrorBody | None = None


class GenerateResponse(BaseModel):
    """Answers in the order of the texts, all of the same model."""

    model: str
    version: int | None = Field(description="Null for a model that is no registered version.")
    answers: list[AnswerBody]
    note: str | None = Field(None, description="What to expect of the model, if it is made from the demo base.")
