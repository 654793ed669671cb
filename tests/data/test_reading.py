"""What a source is read with: the columns that its task looks at, and what only all of its rows together say."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl.config.data import DataConfig
from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest
from mtl.errors import DataError
from mtl.store.memory import MemoryStore
from mtl.tasks import mcq

Run = Callable[..., DatasetManifest]
MAP = {"article": "context", "options": ["A", "B", "C", "D"], "answer": "label"}


def write(path: Path, label: Callable[[int], Any], *, numbers: range = range(12)) -> None:
    rows = [[f"Tom has {n} dogs.", f"He has _ {n} .", "a", "b", "c", "d", label(n), "high"] for n in numbers]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["context", "question", *"ABCD", "label", "level"], *rows])


def config(folder: Path, **source: Any) -> DataConfig:
    return DataConfig.model_validate(
        {"sources": [{"task": "mcq", "uri": str(folder), "columns": MAP, **source}], "instruction_dropout": 0}
    )


def keys(store: MemoryStore, manifest: DatasetManifest, folder: Path) -> dict[int, str]:
    """{number of a question: its right letter}"""
    examples = open_dataset(store, manifest.fingerprint, folder).examples("mcq", "train")
    asked = [question for one in examples for question in mcq.TASK.parse(one.targets) or ()]
    return {int(one["question"].split()[3]): one["correct"] for one in asked}


@pytest.mark.parametrize(
    ("label", "fields"),
    [
        (lambda n: n % 4, {}),
        (lambda n: n % 4 + 1, {}),
        (lambda n: float(n % 4), {}),
        (lambda n: "abcd"[n % 4], {}),
        (lambda n: "ABCD"[n % 4], {}),
        (lambda n: n % 4, {"add": {"answers_are": "0-3"}}),
    ],
)
def test_answers_of_every_form_give_the_same_data_set(
    tmp_path: Path, run: Run, store: MemoryStore, label: Callable[[int], Any], fields: dict[str, Any]
) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "train.csv", label)
    manifest = run(config(tmp_path / "in", **fields))
    assert keys(store, manifest, tmp_path / "out") == {n: "ABCD"[n % 4] for n in range(12)}


def test_the_splits_of_a_source_are_looked_at_together(tmp_path: Path, run: Run, store: MemoryStore) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "train.csv", lambda n: 1 + n % 3)
    with pytest.raises(DataError) as caught:
        run(config(tmp_path / "in"))
    assert caught.value.message == (
        f"source {tmp_path / 'in'} of mcq: the answers are numbers (1, 2, 3), and do not say whether they count from 0 "
        "or from 1"
    )
    assert not list(store.list("datasets/"))
    write(tmp_path / "in" / "test.csv", lambda n: 0, numbers=range(20, 22))
    assert keys(store, run(config(tmp_path / "in")), tmp_path / "out")[0] == "B"


def test_a_mapped_column_that_is_not_there_is_named(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "train.csv", lambda n: n % 4)
    with pytest.raises(DataError, match=r"no column 'text' \(`columns` names it for 'article'\); got A, B, C, D, "):
        run(config(tmp_path / "in", columns={**MAP, "article": "text"}))


def test_another_mapping_of_the_same_files_is_another_data_set(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "train.csv", lambda n: n % 4)
    first = run(config(tmp_path / "in"))
    other = run(config(tmp_path / "in", columns={**MAP, "options": ["D", "C", "B", "A"]}))
    assert first.fingerprint != other.fingerprint
    assert first.sources[0]["sha256"] != other.sources[0]["sha256"]
    assert run(config(tmp_path / "in")).fingerprint == first.fingerprint
