"""The table of tasks. A task is added by writing one file beside this one and one line here."""

from __future__ import annotations

from collections.abc import Iterable

from mtl.errors import NotFoundError, did_you_mean
from mtl.parameter import Parameter
from mtl.task import Task
from mtl.tasks import mcq, summarize
from mtl.tasks.checks import table

TASKS: dict[str, Task] = table(
    [
        summarize.TASK,
        mcq.TASK,
    ]
)
OPTIONS_IN_EVERY_RECIPE = (summarize.TASK.name, mcq.TASK.name)
"""Tasks whose options every recipe holds, used or not: so the fingerprints of old data sets stay what they were."""


def get_task(name: str) -> Task:
    """The task of this name; NotFoundError with a suggestion if there is none."""
    if name not in TASKS:
        raise NotFoundError(f"no task {name!r}", field="task", hint=did_you_mean(name, TASKS))
    return TASKS[name]


def in_order(names: Iterable[str]) -> list[str]:
    """`names` in the order of the table, which is the order in which a tokenizer gets their tokens."""
    return sorted({get_task(name).name for name in names}, key=list(TASKS).index)


def request_parameters() -> dict[str, tuple[Parameter, str]]:
    """What requests may say: name -> (parameter, the tasks that take it, in words)."""
    found: dict[str, tuple[Parameter, list[str]]] = {}
    for task in TASKS.values():
        for parameter in task.request:
            found.setdefault(parameter.name, (parameter, []))[1].append(task.name)
    return {name: (parameter, ", ".join(tasks)) for name, (parameter, tasks) in found.items()}


def names_in_words() -> str:
    """The tasks for the description of a field: `summarize or mcq`."""
    return " or ".join(TASKS)
