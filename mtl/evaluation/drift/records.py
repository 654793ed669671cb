"""What is compared and what was found: texts in, a report out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

NEW_ROWS, ALL_ROWS, REQUESTS = "new rows", "all rows", "requests"
"""What is compared with the champion's training data: rows that it was not trained on, all rows of today if few are
new, or the texts that its users sent."""


@dataclass(frozen=True, slots=True)
class Text:
    """One passage, however many examples or requests are about it.

    key: names the passage. tokens: of the whole text. unknown: share of them that are <unk>. labels: what is asked
    for, such as difficulty -> share of the questions.
    """

    key: str
    text: str
    tokens: int
    unknown: float
    labels: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Word:
    """fresh, reference: share of the texts of each side that have the word."""

    word: str
    fresh: float
    reference: float


@dataclass(frozen=True, slots=True)
class Domain:
    """How well a classifier tells fresh texts from reference texts.

    auc: area under the ROC curve of texts that it was not fitted on. p: of the permutation test. fresh_words,
    reference_words: those that mark each side, the strongest first. roc: points (share of the reference texts, share
    of the fresh texts) above a rank.
    """

    auc: float
    p: float
    fresh_words: tuple[Word, ...] = ()
    reference_words: tuple[Word, ...] = ()
    roc: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of both sides. reference, fresh: a median, a mean, or a share for each name.

    distance: between 0 (equal) and 1: Kolmogorov-Smirnov's for numbers, the total variation for shares. p: corrected
    for all tests of a report (Holm), but for that of the domain classifier, which alone decides about an alarm.
    """

    name: str
    reference: float | Mapping[str, float]
    fresh: float | Mapping[str, float]
    distance: float
    p: float


@dataclass(frozen=True, slots=True)
class TaskDrift:
    """reference, fresh: number of texts compared. domain: None if one side has too few of them.

    lengths: the same bins for both sides: {"edges": [...], "reference": [...], "fresh": [...]}, shares of the texts.
    """

    task: str
    reference: int
    fresh: int
    domain: Domain | None = None
    differences: tuple[Difference, ...] = ()
    lengths: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One kind of fresh texts against the champion's training data. mix: of the tasks; None if there is one task."""

    what: str
    tasks: tuple[TaskDrift, ...]
    mix: Difference | None = None


@dataclass(frozen=True, slots=True)
class Bars:
    """An alarm is an area above `auc` together with a p-value below `p`."""

    auc: float
    p: float


@dataclass(frozen=True, slots=True)
class Alarm:
    """cause: the champion's data set and the week. It makes this drift the same one when it is found again."""

    what: str
    task: str
    text: str
    cause: str

    @property
    def key(self) -> str:
        return f"{self.cause} {self.what} {self.task}"


@dataclass(frozen=True, slots=True)
class DriftReport:
    """dataset: fingerprint of today's data. since: of the data that the champion was trained on.

    days: of requests that were looked at. page: key of the HTML page in the store. fault: why the request log could
    not be read; empty if it could.
    """

    model: str
    version: int
    at: str
    dataset: str
    since: str
    days: int
    bars: Bars
    comparisons: tuple[Comparison, ...]
    alarms: tuple[Alarm, ...] = ()
    page: str = ""
    fault: str = ""

    @property
    def name(self) -> str:
        return f"{self.model} v{self.version}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
