"""When a champion that serves its users worse than the version before it is rolled back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtl.config.section import Section

Measure = Literal["errors", "refused", "malformed", "unusable", "bad"]
Share = Annotated[float, Field(ge=0, lt=1)]


class RollbackConfig(Section):
    """The policy of automatic rollback; `mtl.promotion.served` says how it decides."""

    enabled: bool = Field(
        False,
        description="Roll back automatically. Without it, watch-served says what it would do and does nothing.",
    )
    hours: float = Field(
        24.0,
        ge=1,
        le=24 * 31,
        description="Length of both windows. A champion is watched for so long after its promotion, and compared with "
        "the last such window of the version before it. A whole day has the same mix of traffic on both sides.",
    )
    min_requests: int = Field(
        100,
        ge=10,
        description="Texts that both versions must have answered before anything is decided. A request may have many.",
    )
    min_judged: int = Field(
        30,
        ge=5,
        description="Answers that the reader read, which unusable needs on each side, and answers with feedback, which "
        "bad needs.",
    )
    margins: dict[Measure, Share] = Field(
        default={"errors": 0.02, "refused": 0.05, "malformed": 0.05, "unusable": 0.05, "bad": 0.1},
        min_length=1,
        description="The measures that decide, each with the rise of its share that does not count. errors: texts "
        "that failed. refused: texts that the model does not take. malformed: texts whose answer does not have the "
        "form of the task. unusable: answers of that form that lack a question or have a key that the reader does not "
        "confirm, of those that the reader read. bad: answers that people called bad, of those with feedback.",
    )
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="Confidence, over all measures and all looks together, that a version that is not worse is not "
        "rolled back. It holds with margins of 0 too.",
    )
