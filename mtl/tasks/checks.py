"""What a task must be to stand in the table: its functions take what they are given, and its names fit together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from inspect import signature

from mtl.metrics.reading import needs_reader
from mtl.parameter import Parameter
from mtl.task import CONSISTENT, BadRequest, Task

_ARGUMENTS = {
    "read": ("row",),
    "dump": ("record",),
    "load": ("value",),
    "passage": ("record",),
    "join": ("records",),
    "render": ("record", "options"),
    "prompt": ("text", "request"),
    "bare": ("inputs",),
    "parse": ("text",),
    "rows": ("text", "output"),
    "score": ("example", "prediction"),
    "group": ("example",),
    "questions": ("example", "text"),
    "claim": ("example", "text"),
    "unsupported": ("inputs", "text"),
    "compose": ("chosen",),
    "settle": ("options",),
    "draw": ("output",),
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TOKEN = re.compile(r"<[a-z][a-z0-9_]*>")
TAKEN = frozenset(
    [
        *("task", "max_new_tokens", "truncate", "file", "model", "lines", "name", "as_json", "json", "help"),
        *("candidates", "num_beams", "length_penalty"),
    ]
)
"""Names that `mtl generate` and the served model have for something else."""


def table(tasks: Iterable[Task]) -> dict[str, Task]:
    """The tasks by name. Errors: ValueError, all that is wrong with them at once."""
    chosen = list(tasks)
    wrong = [f"task {task.name!r}: {problem}" for task in chosen for problem in _problems(task)]
    wrong += _shared(chosen)
    if wrong:
        raise ValueError("the table of tasks is wrong:\n" + "\n".join(f"  {problem}" for problem in wrong))
    return {task.name: task for task in chosen}


def _problems(task: Task) -> Iterator[str]:
    if not _NAME.fullmatch(task.name):
        yield "its name must be small letters, digits and _"
    if not _TOKEN.fullmatch(task.token):
        yield f"its token must be a word in angle brackets, got {task.token!r}"
    if task.version < 1:
        yield f"its version must be 1 or more, got {task.version}"
    yield from (wrong := [*_functions(task), *_metrics(task), *_request(task)])
    if wrong:
        return
    if not task.prompt("...", task.complete({})).startswith(task.token):
        yield f"the inputs that its prompt gives must begin with {task.token}"
    if task.default_request and _serves_defaults(task):
        yield "its default request would stand for a request of its parameters' defaults, which its prompt serves too"


def _serves_defaults(task: Task) -> bool:
    """Nobody can tell a parameter that is asked for at its default from one that is not given."""
    try:
        task.prompt("...", {parameter.name: parameter.default for parameter in task.request})
    except BadRequest:
        return False
    return True


def _functions(task: Task) -> Iterator[str]:
    for name, arguments in _ARGUMENTS.items():
        function = getattr(task, name)
        if function is None and name in ("rows", "questions", "compose", "claim"):
            if name == "questions" and task.compose is not None:
                yield "it composes answers of questions, but has no function `questions` that finds them"
            continue
        if not callable(function):
            yield f"{name} must be a function, got {function!r}"
        elif function is not dict:
            try:
                signature(function).bind(*arguments)
            except TypeError as error:
                yield f"{name} must take ({', '.join(arguments)}): {error}"


def _metrics(task: Task) -> Iterator[str]:
    names = [metric.name for metric in task.metrics]
    judged = {metric.name for metric in task.metrics if metric.higher_is_better is not None}
    if not names:
        yield "it has no metric, so that the gate could not judge it"
    yield from (f"two metrics are called {name!r}" for name in _repeated(names))
    negative = [metric for metric in task.metrics if not metric.margin >= 0]
    yield from (f"the margin of {metric.name!r} must be 0 or more, got {metric.margin}" for metric in negative)
    taken = [name for name in names if needs_reader(name) and (task.claim is None or name != CONSISTENT.name)]
    yield from (f"a metric cannot be called {name!r}, which comes from a reader" for name in taken)
    gate = task.gate
    deciding = [gate.metric] if gate.metric else names[:1]
    by_reader = {n for n in (*deciding, *gate.guards, *gate.floors) if needs_reader(n)} if task.questions else set()
    if by_reader & {*deciding} and not gate.without_reader:
        yield f"it is decided by {gate.metric!r}, which comes from a reader, and without_reader names no other metric"
    alone = [gate.without_reader] if gate.without_reader else []
    for name in dict.fromkeys([*deciding, *gate.floors, *gate.guards, *alone]):
        if name not in judged and (name not in by_reader or name in alone):
            yield f"the gate cannot judge it by {name!r}, which is none of its metrics that have a better end"
    if task.claim is not None and CONSISTENT not in task.metrics:
        yield f"it has a claim, and so it must have the metric {CONSISTENT.name!r}"
    yield from (f"two groups are called {name!r}" for name in _repeated(task.groups.names))


def _request(task: Task) -> Iterator[str]:
    names = [parameter.name for parameter in (*task.request, *task.options)]
    yield from (f"two parameters are called {name!r}" for name in _repeated(names))
    for parameter in task.request:
        if parameter.name in TAKEN:
            yield f"a request parameter cannot be called {parameter.name!r}, which has a meaning already"
    for parameter in (*task.request, *task.options):
        yield from _parameter(parameter)
    known = {parameter.name: parameter for parameter in task.request}
    for kind, request in (("default request", task.default_request), ("check request", task.check_request)):
        for name, value in request.items():
            if name not in known or not known[name].allows(value):
                yield f"its {kind} cannot say {name}={value!r}"


def _parameter(parameter: Parameter) -> Iterator[str]:
    if not _NAME.fullmatch(parameter.name):
        yield f"the name of parameter {parameter.name!r} must be small letters, digits and _"
    if parameter.parts:
        for part in parameter.parts:
            yield from _parameter(part)
    elif parameter.kind not in (bool, int, float, str):
        yield f"parameter {parameter.name!r} needs a default that is true or false, a number or a text"
    elif not parameter.allows(parameter.default):
        yield f"the default of {parameter.name!r} must be {parameter.expected}, got {parameter.default!r}"


def _shared(tasks: list[Task]) -> Iterator[str]:
    for what, names in (("name", [task.name for task in tasks]), ("token", [task.token for task in tasks])):
        yield from (f"two tasks have the {what} {name!r}" for name in _repeated(names))
    asked: dict[str, Parameter] = {}
    for task in tasks:
        for parameter in task.request:
            if asked.setdefault(parameter.name, parameter) != parameter:
                yield f"two tasks have another request parameter {parameter.name!r} each: give one another name"
    options = [parameter.name for task in tasks for parameter in task.options]
    yield from (f"two tasks have an option {name!r}: give one another name" for name in _repeated(options))


def _repeated(names: Iterable[str]) -> list[str]:
    seen = list(names)
    return sorted({name for name in seen if seen.count(name) > 1})
