"""The table of tasks. A task is added by writing one file beside this one and one line here."""

from __future__ import annotations

from collections.abc import Iterable

from mtl.errors import NotFoundError, did_you_mean
from mtl.task import Task
from mtl.tasks import mcq, summarize

TASKS: dict[str, Task] = {task.name: task for task in (summarize.TASK, mcq.TASK)}


def get_task(name: str) -> Task:
    """The task of this name; NotFoundError with a suggestion if there is none."""
    if name not in TASKS:
        raise NotFoundError(f"no task {name!r}", field="task", hint=did_you_mean(name, TASKS))
    return TASKS[name]


def in_order(names: Iterable[str]) -> list[str]:
    """`names` in the order of the table, which is the order in which a tokenizer gets their tokens."""
    return sorted({get_task(name).name for name in names}, key=list(TASKS).index)
