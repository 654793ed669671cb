"""A task of one's own is one value in the table; sources, preparation and data set take it as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mtl.config.data import DataConfig
from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest
from mtl.example import Example
from mtl.store.memory import MemoryStore
from mtl.task import Dropped, Rendered, RenderOptions, Task
from mtl.tasks import table
from mtl.tasks.text import clean, read_passage
from tests.support.rows import write_jsonl

Row = Mapping[str, Any]


def join(records: Sequence[dict[str, str]]) -> tuple[dict[str, str], Dropped]:
    return records[0], []


def render(record: dict[str, str], options: RenderOptions) -> Rendered:
    return Rendered([Example(f"<title> {record['body']}", f"Title: {record['title']}", "title", record["body"])], [])


TITLE = Task(
    name="title",
    version=1,
    token="<title>",
    columns=("body", "title"),
    metrics=(),
    read=lambda row: {name: read_passage(row, name) for name in ("body", "title")},
    dump=lambda record: record,
    load=lambda value: value,
    passage=lambda record: str(record["body"]),
    join=join,
    render=render,
    prompt=lambda text, request: f"<title> {clean(text)}",
    bare=lambda inputs: inputs,
    parse=lambda text: text.removeprefix("Title: ") or None,
    score=lambda example, prediction: {},
)


def test_a_third_task(
    tmp_path: Path, store: MemoryStore, run: Callable[..., DatasetManifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(table.TASKS, "title", TITLE)
    write_jsonl(tmp_path / "mine" / "notes.jsonl", [{"body": f"Body {n}.", "title": f"T{n}"} for n in range(3)])
    data = DataConfig.model_validate({"sources": [{"task": "title", "uri": str(tmp_path / "mine")}]})
    manifest = run(data)
    assert manifest.counts["title"]["train"].kept == 3
    examples = open_dataset(store, manifest.fingerprint, tmp_path).examples("title", "train")
    assert {example.targets for example in examples} == {"Title: T0", "Title: T1", "Title: T2"}
