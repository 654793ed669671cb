"""The page on own tasks works as it is written: its code becomes a task, its rows a data set."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mtl.config.data import DataConfig
from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest
from mtl.store.memory import MemoryStore
from mtl.task import BadRequest, Task
from mtl.tasks import table
from tests.support.rows import write_jsonl

PAGE = Path(__file__).parents[2] / "docs" / "own-task.md"
Run = Callable[..., DatasetManifest]


@pytest.fixture
def title(monkeypatch: pytest.MonkeyPatch) -> Task:
    """The task of the page, in the table."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code
    module = ModuleType("title_of_the_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code[1], str(PAGE), "exec"), module.__dict__)
    task: Task = module.TASK
    monkeypatch.setitem(table.TASKS, task.name, task)
    return task


def test_a_folder_of_jsonl_becomes_a_data_set(tmp_path: Path, store: MemoryStore, run: Run, title: Task) -> None:
    rows: list[Any] = [{"body": f"Body number {n}.", "title": f"T{n}"} for n in range(30)]
    write_jsonl(tmp_path / "notes" / "notes.jsonl", [*rows, rows[0], {"body": "", "title": "x"}, b"{"])
    source = {"task": "title", "uri": str(tmp_path / "notes")}
    manifest = run(DataConfig.model_validate({"sources": [source], "holdout": {"validation": 0.2}}))
    counts = manifest.counts["title"]
    assert counts["train"].kept + counts["validation"].kept == 30
    assert manifest.quarantine == {"duplicate": 1, "empty body": 1, "not JSON": 1}
    data = open_dataset(store, manifest.fingerprint, tmp_path)
    examples = [example for split in counts for example in data.examples("title", split)]
    assert {title.parse(example.targets) for example in examples} == {f"T{n}" for n in range(30)}
    assert all(example.inputs.startswith("<title> ") for example in examples)


def test_it_answers_and_scores(title: Task) -> None:
    assert title.prompt("A  text.", {}) == "<title> Write a title for the following text: A text."
    assert title.bare(title.prompt("A text.", {})) == "<title> A text."
    with pytest.raises(BadRequest, match="title takes no 'easy'"):
        title.prompt("A text.", {"easy": 1})
    record = title.read({"body": "Some text.", "title": "New school"})
    assert title.load(title.dump(record)) == record
    assert title.parse("no title") is None
