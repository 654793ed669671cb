"""Task: everything the service knows about one kind of text-to-text work. One task is one file in `mtl/tasks/`.

A task turns rows of a source into records, joins rows that belong to one record, renders records into examples,
parses what a model wrote, and scores it per example (so that two models can be compared in pairs).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtl.errors import MtlError
from mtl.example import Example

_SHOWN = 60
_KINDS: tuple[tuple[Any, str], ...] = (
    (bool, "boolean"),
    ((int, float), "number"),
    (dict, "object"),
    ((list, tuple), "list"),
    (bytes, "bytes"),
    (type(None), "null"),
)

Row = Mapping[str, Any]
Scores = Mapping[str, float | None]


class BadRow(Exception):
    """A row that cannot be used: why (a short constant, counted in the manifest) and which field.

    detail: what was received and what was expected, for people; empty where the reason says it all.
    """

    def __init__(self, reason: str, field: str, *, detail: str = "") -> None:
        super().__init__(f"{reason} ({field})")
        self.reason = reason
        self.field = field
        self.detail = detail


def wrong_type(value: Any, name: str, expected: str) -> BadRow:
    """The refusal of a value that is of another type than expected, with both."""
    return BadRow("wrong type", name, detail=f"got {shown(value)}, expected {expected}")


def shown(value: Any) -> str:
    """A value for an error message: its type in the words of JSON, its beginning, on one line of plain characters."""
    if isinstance(value, str):
        return ascii(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!a}..."
    kind = next((word for types, word in _KINDS if isinstance(value, types)), type(value).__name__)
    text = ascii(value) if isinstance(value, (bool, int, float)) else ""
    return f"{kind} {text[:_SHOWN]}".strip()


class BadRequest(MtlError):
    """A request to generate that the task cannot serve."""

    kind = "request"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Metric:
    """What a score means. `source` names the paper, library or rule that defines it.

    higher_is_better: None where neither end is better (a length): such a metric is shown and never judged.
    low, high: its range, in its own unit; None where that end is open.
    """

    name: str
    higher_is_better: bool | None = True
    low: float | None = 0.0
    high: float | None = 1.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class ReadingQuestion:
    """A multiple-choice question about a passage, as a reader is asked it.

    key: index of the option that is said to be right. label: the difficulty that it says to have.
    """

    passage: str
    question: str
    options: tuple[str, ...]
    key: int
    label: str


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How records become examples.

    seed: all choices are functions of it and of the passage.
    training: False for validation and test, which get no instruction dropout and the plainest request.
    instruction_dropout: share of training examples whose inputs carry the token without the instruction sentence.
    max_target_tokens: no example's target is longer (questions are split over examples, never cut).
    count: token count of a text, `</s>` included. tokens: what the model sees of a text; equal tokens, equal to it.
    options: what one task alone needs (mcq: scheme, requests, requests_per_passage).
    key: `passage_key` of the record's passage where it is known already, else empty.
    """

    seed: int
    training: bool
    instruction_dropout: float
    max_target_tokens: int
    count: Callable[[str], int]
    options: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    tokens: Callable[[str], Hashable] = str


Dropped = list[tuple[int, BadRow]]
"""(index of the record in the sequence given to `join`, why it was dropped)."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Examples of one joined record, the parts that fit in none, and the label (a difficulty) of each record kept."""

    examples: list[Example]
    dropped: Dropped
    labels: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Agreed:
    """What no row can say alone, such as the number that answers count from.

    find: all values of `column` in a source -> what each of its rows gets as `name`. DataError where they do not say.
    """

    column: str
    name: str
    find: Callable[[Iterable[Any]], str]


@dataclass(frozen=True, slots=True)
class Task:
    """Name, version, token, and the pure functions of one task.

    columns: what a row must have. optional: what else `read` looks at; None if that may be anything, and then every
    column of a file is read.
    agreed: what the rows of a source can only say together, for sources whose `columns` map its column.
    read: row -> record; raises BadRow. Records are frozen dataclasses that `dump` turns to JSON and `load` back.
    passage: record -> the source text, by whose normalised hash splits stay disjoint and rows are joined.
    join: records of one passage, at least one -> (one record or None if all are dropped, dropped).
    render: joined record -> Rendered.
    prompt: (text, request) -> the inputs for generation; raises BadRequest.
    bare: inputs -> the same inputs with the task token but without the instruction sentence.
    parse: what a model wrote -> a JSON value, or None where it is not of the task's form.
    score: (example, prediction) -> one score per metric; None where a metric does not apply.
    group: (example) -> names of the groups of `by_difficulty` that it counts for.
    questions: (example, text) -> the questions in the text, for a reader to answer; None for a task that asks none.
    request_defaults: the keys a request may have.
    version changes whenever a prompt, a parser or a rule does.
    """

    name: str
    version: int
    token: str
    columns: tuple[str, ...]
    metrics: tuple[Metric, ...]
    read: Callable[[Row], Any]
    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]
    passage: Callable[[Any], str]
    join: Callable[[Sequence[Any]], tuple[Any | None, Dropped]]
    render: Callable[[Any, RenderOptions], Rendered]
    prompt: Callable[[str, Mapping[str, Any]], str]
    bare: Callable[[str], str]
    parse: Callable[[str], Any | None]
    score: Callable[[Example, str], Scores]
    group: Callable[[Example], Iterable[str]] = lambda example: ()
    questions: Callable[[Example, str], list[ReadingQuestion]] | None = None
    optional: tuple[str, ...] | None = None
    agreed: Agreed | None = None
    request_defaults: Mapping[str, Any] = field(default_factory=dict)
