from __future__ import annotations

import json

import pytest

from mtl.errors import NotFoundError
from mtl.tasks.table import TASKS, get_task, task_tokens
from tests.support.rows import article, question


def test_each_task_is_under_its_name_with_a_token_of_its_own() -> None:
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in TASKS}
    assert task_tokens() == ["<summarize>", "<mcq>"]


def test_an_unknown_task_gets_a_suggestion() -> None:
    with pytest.raises(NotFoundError, match=r"no task 'sumarize'\n  did you mean 'summarize'\?"):
        get_task("sumarize")


@pytest.mark.parametrize(("name", "row"), [("summarize", article()), ("mcq", question())])
def test_records_survive_json(name: str, row: dict[str, object]) -> None:
    task = get_task(name)
    record = task.read(row)
    assert task.load(json.loads(json.dumps(task.dump(record)))) == record
