"""Records of what was served: an answer of the request log, a person's feedback, and counts of a window of time.

Nothing here says who asked or who gave feedback. Texts are redacted (`mtl.traffic.redaction`) before a record is
written anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from mtl.document import Flag, Line, Number, Positive, Size

AnswerId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Verdict = Literal["good", "wrong_key", "unclear", "wrong_level", "corrected"]
Origin = Literal["page", "api", "label-studio"]


@dataclass(frozen=True, slots=True)
class ServedAnswer:
    """One text that `POST /v1/generate` answered.

    at: UTC, ISO 8601, to the second. request: the complete parameters of the task. decoding: `Decoding` as a dict.
    answer: what the model wrote. usable: whether it has the task's form and, for questions, the reader confirms every
    key; None if that was not looked at. marks: for each question, the probability that the reader gives its key.
    version: None if a folder is served.
    """

    id: AnswerId
    at: Line
    task: Line
    text: str
    request: Mapping[str, Any]
    decoding: Mapping[str, Any]
    truncated: Flag
    answer: str
    version: Positive | None
    milliseconds: Number
    usable: Flag | None = None
    marks: tuple[float, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def malformed(self) -> bool:
        """Whether it is not of the task's form. It has no marks then, whether the caller asked for them or not."""
        return self.usable is False and self.marks is None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said of an answer, with all that is needed to learn from it.

    question: number of the question from 1; None for the answer as a whole. correction: with `corrected`, the summary
    as it should be, or the question as {"question", "options", "answer", "difficulty"}; else None.
    """

    id: AnswerId
    at: Line
    task: Line
    text: str
    request: Mapping[str, Any]
    answer: str
    version: Positive | None
    verdict: Verdict
    origin: Origin
    question: Positive | None = None
    correction: str | Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def name(self) -> str:
        """Of its object: one for an answer, or for each of its questions."""
        return feedback_name(self.id, self.question)


def feedback_name(answer_id: str, question: int | None) -> str:
    """See `Feedback.name`."""
    return answer_id if question is None else f"{answer_id}-{question}"


@dataclass(frozen=True, slots=True)
class ServedCounts:
    """What one version answered in one window of time, summed over servers. Nothing of any text.

    errors: answered 5xx. refused: texts that the model does not take, such as one that is too long; malformed requests
    are not counted. malformed: answers that are not of the task's form. checked: answers whose questions the reader
    read, of which `unusable` are not usable; both depend on what callers ask for. good, bad: answers with feedback; bad
    if anything that was said of one is not `good`.
    """

    version: Positive
    requests: Size = 0
    errors: Size = 0
    refused: Size = 0
    malformed: Size = 0
    checked: Size = 0
    unusable: Size = 0
    good: Size = 0
    bad: Size = 0
    milliseconds: Annotated[float, Field(ge=0)] = field(default=0.0)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
