from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.errors import NotFoundError
from mtl.example import Example
from mtl.task import BadRow, RenderOptions, Task
from mtl.tasks.table import TASKS, get_task, in_order
from tests.support.rows import article, question


def test_each_task_is_under_its_name_with_a_token_of_its_own() -> None:
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in TASKS}
    assert [get_task(name).token for name in in_order(["mcq", "summarize", "mcq"])] == ["<summarize>", "<mcq>"]


def test_an_unknown_task_gets_a_suggestion() -> None:
    with pytest.raises(NotFoundError, match=r"no task 'sumarize'\n  did you mean 'summarize'\?"):
        get_task("sumarize")


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_what_needs_no_reference_is_scored_on_a_logged_text(task: Task) -> None:
    """Such a text has inputs and a request, and no targets."""
    free, request = task.without_references(), task.complete({})
    logged = Example(task.prompt("Ann won 3 cups in Oslo.", request), "", task.name, "u", {"request": request})
    for text in ("", "Summary: Ann won 3 cups.", logged.inputs):
        assert set(free.score(logged, text)) <= {metric.name for metric in free.metrics}
    assert not {"rougeLsum", "length_ratio", "question_overlap", "question_bleu"} & {m.name for m in free.metrics}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["A", "\ud800", "a\x00", "_"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.text(min_size=1, max_size=12)


@st.composite
def rows(draw: st.DrawFn, good: dict[str, Any]) -> dict[str, Any]:
    """A good row, some of its fields replaced by anything, options by other lists of text."""
    changed = draw(st.dictionaries(st.sampled_from(sorted(good)), JSON, max_size=2))
    texts = draw(
        st.fixed_dictionaries({}, optional={"question": WORDS, "options": st.lists(WORDS, min_size=3, max_size=5)})
    )
    return {**good, **{key: value for key, value in texts.items() if key in good}, **changed}


@settings(max_examples=200)
@given(st.sampled_from(["summarize", "mcq"]), st.data())
def test_any_row_is_refused_with_a_reason_or_ends_in_examples_that_read_back(name: str, data: st.DataObject) -> None:
    task = get_task(name)
    row = data.draw(rows(article() if name == "summarize" else question()))
    try:
        record = task.read(row)
    except BadRow as bad:
        assert bad.reason and bad.field
        return
    json.dumps(task.dump(record), ensure_ascii=False).encode()
    joined, dropped = task.join([record])
    assert joined is not None and not dropped
    requests = {"scheme": "overlap-1", "requests": {"all": 1.0}, "requests_per_passage": 1}
    options = RenderOptions(
        seed=1, training=True, instruction_dropout=0.5, max_target_tokens=10_000, count=len, options=requests
    )
    rendered = task.render(joined, options)
    assert rendered.examples and not rendered.dropped
    for example in rendered.examples:
        assert task.parse(example.targets)
        assert set(task.score(example, example.targets)) == {metric.name for metric in task.metrics}


@pytest.mark.parametrize(("name", "row"), [("summarize", article()), ("mcq", question())])
def test_records_survive_json(name: str, row: dict[str, object]) -> None:
    task = get_task(name)
    record = task.read(row)
    assert task.load(json.loads(json.dumps(task.dump(record)))) == record
