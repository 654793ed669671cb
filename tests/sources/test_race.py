from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mtl.sources.files import FileSource
from mtl.sources.race import level_in
from mtl.task import BadRow
from mtl.tasks import mcq_rows

DOCUMENT = {
    "article": "Tom has a dog.",
    "questions": ["Who has a dog?", "Tom has _ ."],
    "options": [["Tom", "Ann", "Bob", "Eve"], ["a cat", "a dog", "a cow", "a hen"]],
    "answers": ["A", "B"],
    "id": "7.txt",
}


def write(root: Path, name: str, document: Any = DOCUMENT) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))


def source(root: Path) -> FileSource:
    return FileSource("mcq", str(root), files={}, limits={})


def test_the_original_folders_give_rows_as_the_hub_has_them(tmp_path: Path) -> None:
    for name in ("train/middle/1.txt", "train/high/2.txt", "dev/high/3.txt", "test/middle/4.txt"):
        write(tmp_path / "RACE", name)
    its = source(tmp_path / "RACE")
    assert its.splits() == ("train", "validation", "test")
    rows = list(its.rows("train"))
    assert [row.origin for row in rows] == [
        f"train/{name}:{n}" for name in ("high/2.txt", "middle/1.txt") for n in (1, 2)
    ]
    questions = [mcq_rows.read(row.value) for row in rows if not isinstance(row.value, BadRow)]
    assert [question.level for question in questions] == ["high", "high", "middle", "middle"]
    assert questions[1].question == "Tom has _ ." and questions[1].right == "a dog"


def test_one_folder_of_the_archive_alone_knows_its_level(tmp_path: Path) -> None:
    write(tmp_path / "RACE", "train/high/2.txt")
    (row, _) = source(tmp_path / "RACE" / "train" / "high").rows("train")
    assert mcq_rows.read(row.value).level == "high"  # type: ignore[arg-type]


def test_race_c_is_college(tmp_path: Path) -> None:
    write(tmp_path / "RACE-C", "train/1.txt")
    assert {mcq_rows.read(row.value).level for row in source(tmp_path / "RACE-C").rows("train")} == {"college"}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("RACE/dev/high/1.txt", "high"),
        ("tasksource/race-c", "college"),
        ("RACE_C", "college"),
        ("race", None),
        ("highlights/train", None),
        ("race-cnn", None),
    ],
)
def test_a_level_is_a_word_of_its_own(name: str, level: str | None) -> None:
    assert level_in(name) == level


@pytest.mark.parametrize(
    ("document", "reason", "field"),
    [
        ("{", "not JSON", "line"),
        ({**DOCUMENT, "questions": [], "options": [], "answers": []}, "no question", "questions"),
        ({**DOCUMENT, "answers": ["A"]}, "not as many options and answers as questions", "questions"),
        ({**DOCUMENT, "options": "A. Tom"}, "wrong type", "options"),
        ({key: its for key, its in DOCUMENT.items() if key != "answers"}, "missing value", "answers"),
    ],
)
def test_a_damaged_document_is_one_bad_row(tmp_path: Path, document: Any, reason: str, field: str) -> None:
    write(tmp_path / "RACE", "train/high/1.txt", document)
    (row,) = source(tmp_path / "RACE").rows("train")
    assert isinstance(row.value, BadRow)
    assert (row.value.reason, row.value.field) == (reason, field)


def test_documents_in_a_jsonl_are_spread_too(tmp_path: Path) -> None:
    write(tmp_path, "race-c/train.jsonl", json.dumps(DOCUMENT))
    rows = [row.value for row in source(tmp_path / "race-c").rows("train")]
    assert [row["question"] for row in rows if not isinstance(row, BadRow)] == DOCUMENT["questions"]
