"""Task: everything the service knows about one kind of text-to-text work. One task is one file in `mtl/tasks/`.

A task turns rows of a source into records, joins rows that belong to one record, renders records into examples,
parses what a model wrote, and scores it per example (so that two models can be compared in pairs).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mtl.errors import MtlError, did_you_mean
from mtl.example import Example
from mtl.parameter import Parameter

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
    margin: the loss that the gate puts up with, in its own unit (`gate.margins`). deviation: the usual standard
    deviation of the differences that two versions have on the same example; None if nobody measured it (docs/log.md).
    needs_reference: whether its score needs the example's targets. One that needs none is measured on logged texts too,
    with empty targets; so a metric is not until somebody says that it can be.
    """

    name: str
    higher_is_better: bool | None = True
    low: float | None = 0.0
    high: float | None = 1.0
    source: str = ""
    margin: float = 0.05
    deviation: float | None = None
    needs_reference: bool = True


CONSISTENT = Metric(
    "consistent",
    source="agreement of a reader's answers, with the text and with its source, to the questions that the model asks "
    "about its own text (MQAG, Manakul et al. 2023)",
    needs_reference=False,
)
"""Of a task with `claim`; `mtl.evaluation.consistency` measures it, and without a reader it has no value."""


@dataclass(frozen=True, slots=True)
class ReadingQuestion:
    """A multiple-choice question about a passage, as a reader is asked it.

    key: index of the option that is said to be right. label: the group that it says to be of.
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
    options: what single tasks need: each task's `options` as its `settle` gives them, and max_input_tokens.
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
    """Examples of one joined record, the parts that fit in none, and the label (a group) of each record kept."""

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
class Groups:
    """Names of a task's groups of examples in reading order; `kind` is what one of them is called."""

    kind: str = "group"
    names: tuple[str, ...] = ()

    def ordered(self, names: Iterable[str]) -> list[str]:
        """`names` in reading order; those that the task does not name come last, by name."""
        return sorted(names, key=lambda name: (self.names.index(name) if name in self.names else len(self.names), name))


@dataclass(frozen=True, slots=True)
class GateDefaults:
    """What the gate asks of a task where the configuration does not say; see `mtl.promotion`.

    metric: the one that decides; empty: the task's first. floors: metric -> worst acceptable mean. guards: metrics that
    must not be clearly worse. without_reader: the one that decides where `metric` comes from a reader
    (`mtl.metrics.reading`) and none that is good enough answered the questions.
    """

    metric: str = ""
    floors: Mapping[str, float] = field(default_factory=dict)
    guards: tuple[str, ...] = ()
    without_reader: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an answer, as plain text for a terminal or a page to draw.

    tag: a word or two beside it. options: lettered from A. answer: hidden on a page until the reader asks for it.
    """

    text: str
    tag: str = ""
    options: tuple[str, ...] = ()
    answer: str = ""


def items_of_list(output: Any) -> list[Item]:
    """Each member of a list is an item; anything else has none, and is shown as the model wrote it."""
    return [Item(str(member)) for member in output] if isinstance(output, list) else []


@dataclass(frozen=True, slots=True)
class Task:
    """Name, version and token of one task, its pure functions, and all that the rest of the service must know of it.

    columns: what a row must have. optional: what else `read` looks at; None if that may be anything, and then every
    column of a file is read.
    agreed: what the rows of a source can only say together, for sources whose `columns` map its column.
    read: row -> record; raises BadRow. Records are frozen dataclasses that `dump` turns to JSON and `load` back.
    passage: record -> the source text, by whose normalised hash splits stay disjoint and rows are joined.
    join: records of one passage, at least one -> (one record or None if all are dropped, dropped).
    render: joined record -> Rendered.
    prompt: (text, request) -> the inputs for generation; raises BadRequest.
    bare: inputs -> the same inputs with the task token but without the instruction sentence.
    text: inputs -> the text in them, if `bare` leaves more of them than the token and the text.
    parse: what a model wrote -> a JSON value, or None where it is not of the task's form.
    rows: (text, output as `parse` gives it) -> the rows of a source that teach to answer the text so, one for each item
    of a list; none for an output that is not of the task's form. None for a task that does not learn from feedback.
    score: (example, prediction) -> one score per metric; None where a metric does not apply.
    groups: of examples, for the report; `labels` that `render` gives are names of groups too.
    group: (example) -> names of the groups that it counts for.
    questions: (example, text) -> the questions in the text, for a reader to answer; None for a task that asks none.
    compose: questions -> the text of an answer with these questions, which `parse` reads as a list of objects, one for
    each question; None for a task whose answers cannot be put together from checked questions.
    requested: (example) -> label of a group -> number of questions that the example asks for; of tasks with questions.
    check_request: what a task with questions is asked for when its questions check a text of another task.
    claim: (example, text) -> (source, what the text says of it), for questions to check it, or None for a text that is
    not of the task's form; None for a task whose answers are not checked. Such a task has the metric `CONSISTENT`.
    unsupported: (inputs, text) -> (start, end) of each part of the text that the inputs do not have, for the report.
    request: what a request may say; it becomes options of `mtl generate`, parameters of the served model, and fields of
    the batch form. default_request: what is asked for where a request says nothing; only for a task whose parameters at
    their defaults ask for nothing that `prompt` could serve.
    options: what `data` of the configuration may say about rendering. settle: those values -> what the recipe keeps of
    them and `render` gets, for an option whose meaning has versions.
    gate: how the gate judges it by default. draw: a parsed answer -> its items; none: it is shown as text.
    caveat: a sentence for the model card about what may be wrong with an answer.
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
    text: Callable[[str], str] | None = None
    rows: Callable[[str, Any], list[Row]] | None = None
    groups: Groups = Groups()
    group: Callable[[Example], Iterable[str]] = lambda example: ()
    questions: Callable[[Example, str], list[ReadingQuestion]] | None = None
    compose: Callable[[Sequence[ReadingQuestion]], str] | None = None
    requested: Callable[[Example], Mapping[str, int]] = lambda example: {}
    check_request: Mapping[str, Any] = field(default_factory=dict)
    claim: Callable[[Example, str], tuple[str, str] | None] | None = None
    unsupported: Callable[[str, str], Sequence[tuple[int, int]]] = lambda inputs, text: ()
    optional: tuple[str, ...] | None = None
    agreed: Agreed | None = None
    request: tuple[Parameter, ...] = ()
    default_request: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[Parameter, ...] = ()
    settle: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    gate: GateDefaults = GateDefaults()
    draw: Callable[[Any], Sequence[Item]] = items_of_list
    caveat: str = ""

    def text_in(self, inputs: str) -> str:
        """The text that inputs of `prompt`, `bare` or `render` are about."""
        if self.text is not None:
            return self.text(inputs)
        return self.bare(inputs).removeprefix(self.token).strip()

    def without_references(self) -> Task:
        """The task with those of its metrics alone that need no reference."""
        metrics = tuple(metric for metric in self.metrics if not metric.needs_reference)
        names, score = {metric.name for metric in metrics}, self.score
        return replace(
            self,
            metrics=metrics,
            score=lambda example, text: {name: its for name, its in score(example, text).items() if name in names},
        )

    def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request with a value for each parameter. Errors: BadRequest, naming the one that cannot be."""
        known = {parameter.name: parameter for parameter in self.request}
        given = request or self.default_request
        for name, value in given.items():
            if name not in known:
                hint = did_you_mean(name, known) if known else "leave it out: this task has no parameters"
                raise BadRequest(f"{self.name} takes no {name!r}", field=name, hint=hint)
            if not known[name].allows(value):
                raise BadRequest(f"{name} must be {known[name].expected}, got {value!r}", field=name)
        return {name: given.get(name, parameter.default) for name, parameter in known.items()}
