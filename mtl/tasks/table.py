"""The table of tasks. A task is added by writing one file beside this one and one line here."""

from __future__ import annotations

from mtl.errors import NotFoundError, did_you_mean
from mtl.task import Task
from mtl.tasks import mcq, summarize

TASKS: dict[str, Task] = {task.name: task for task in (summarize.TASK, mcq.TASK)}


def get_task(name: str) -> Task:
    """The task of this name; NotFoundError with a suggestion if there is none."""
    if name not in TASKS:
        raise NotFoundError(f"no task {name!r}", field="task", hint=did_you_mean(name, TASKS))
    return TASKS[name]


def task_tokens() -> list[str]:
    """The tokens of all tasks, in the order in which a tokenizer gets them."""
    return [task.token for task in TASKS.values()]
