"""Task: everything the service knows about one kind of text-to-text work. One task is one file in `mtl/tasks/`.

A task turns rows of a source into records, joins rows that belong to one record, renders records into examples,
parses what a model wrote, and scores it per example (so that two models can be compared in pairs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtl.errors import MtlError
from mtl.example import Example

Row = Mapping[str, Any]
Scores = Mapping[str, float | None]


class BadRow(Exception):
    """A row that cannot be used: why (a short constant, counted in the manifest) and which field."""

    def __init__(self, reason: str, field: str) -> None:
        super().__init__(f"{reason} ({field})")
        self.reason = reason
        self.field = field


class BadRequest(MtlError):
    """A request to generate that the task cannot serve."""

    kind = "request"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Metric:
    """What a score means. `source` names the paper, library or rule that defines it."""

    name: str
    higher_is_better: bool = True
    low: float = 0.0
    high: float = 1.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How records become examples.

    max_target_tokens: no example's target is longer (questions are split over examples, never cut).
    instruction_dropout: share of examples whose inputs carry the token without the instruction sentence.
    count: token count of a text, `</s>` included.
    """

    seed: int
    instruction_dropout: float
    max_input_tokens: int
    max_target_tokens: int
    count: Callable[[str], int]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """Name, version, token, and the pure functions of one task.

    columns: what a row must have.
    read: row -> record; raises BadRow.
    passage: record -> the source text, by whose normalised hash splits stay disjoint and rows are joined.
    join: records of one passage -> (one record, [(dropped record, reason, field)]).
    render: record -> (examples, [(part that fits in no example, reason, field)]).
    prompt: (text, request) -> the inputs for generation; raises BadRequest.
    parse: what a model wrote -> a JSON value, or None where it is not of the task's form.
    score: (example, prediction) -> one score per metric; None where a metric does not apply.
    group: (example) -> name of the group for `by_difficulty`, or None.
    version changes whenever a prompt, a parser or a rule does.
    """

    name: str
    version: int
    token: str
    columns: tuple[str, ...]
    metrics: tuple[Metric, ...]
    read: Callable[[Row], Any]
    passage: Callable[[Any], str]
    join: Callable[[Sequence[Any]], tuple[Any, list[tuple[Any, BadRow]]]]
    render: Callable[[Any, RenderOptions], tuple[list[Example], list[tuple[Any, BadRow]]]]
    prompt: Callable[[str, Mapping[str, Any]], str]
    parse: Callable[[str], Any | None]
    score: Callable[[Example, str], Scores]
    group: Callable[[Example], Iterable[str]] = lambda example: ()
    request_defaults: Mapping[str, Any] = field(default_factory=dict)
