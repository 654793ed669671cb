"""The page on own tasks works as it is written: its code becomes a task, its rows a data set."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import mtl.tasks
from mtl.config.data import DataConfig
from mtl.config.retrain import load_config
from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.store.memory import MemoryStore
from mtl.task import BadRequest, Task
from mtl.tasks import table
from mtl.workspace import open_workspace
from tests.support.rows import write_jsonl

PAGE = Path(__file__).parents[2] / "docs" / "own-task.md"
Run = Callable[..., DatasetManifest]


def block(language: str, number: int = 0) -> str:
    """A piece of code of the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[number]


@pytest.fixture
def title(monkeypatch: pytest.MonkeyPatch) -> Task:
    """The task of the page, in the table by the page's own lines."""
    module = ModuleType("mtl.tasks.title")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(mtl.tasks, "title", module, raising=False)
    exec(compile(block("python"), str(PAGE), "exec"), module.__dict__)
    lines: dict[str, Any] = {"Task": Task}
    exec(compile(block("python", 1), str(PAGE), "exec"), lines)
    assert list(lines["TASKS"]) == ["summarize", "mcq", "title"]
    for name, task in lines["TASKS"].items():
        monkeypatch.setitem(table.TASKS, name, task)
    return table.TASKS["title"]


def test_the_pages_configuration_prepares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, title: Task) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MTL_STORE", raising=False)
    rows = [{"body": f"Body number {n}.", "title": f"T{n}"} for n in range(30)]
    write_jsonl(tmp_path / "notes" / "train.jsonl", rows)
    (tmp_path / "own.yaml").write_text(block("yaml").replace("uri: demo", "uri: demo, rows: {train: 5, validation: 5}"))
    counts = prepare_dataset(open_workspace(), load_config(Path("own.yaml"))).manifest.counts
    assert set(counts) == {"summarize", "mcq", "title"}
    assert sum(counts["title"][split].kept for split in ("train", "validation")) == 30


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
