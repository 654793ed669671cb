"""Everything that is not read is named, with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.errors import NotFoundError
from mtl.sources.listing import sentences
from tests.sources.test_files import found, source
from tests.support.rows import write_jsonl


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "d"
    write_jsonl(root / "train.jsonl", [{"n": 1}])
    write_jsonl(tmp_path / "elsewhere" / "dev.jsonl", [{"n": 2}])
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    for name in ("more.csv.bak", "book.xlsx", "a/old.zip", "RACE.tar.gz", "README.md", ".cache/x.jsonl", "a/._1.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    return root


def test_all_that_lies_beside_data_is_named(folder: Path) -> None:
    notes = {note.name: (note.text, note.usual) for note in source(folder).notes()}
    foreign = ("not a data file by its name", False)
    assert notes == {
        "more.csv.bak": foreign,
        "book.xlsx": foreign,
        "a/old.zip": foreign,
        "linked/": ("a linked folder: name it as a source of its own", False),
        "RACE.tar.gz": ("an archive: name it as a source of its own", False),
        "README.md": ("about data, by its name", True),
        ".cache/": ("hidden", True),
        "a/._1.txt": ("hidden", True),
    }
    assert found(source(folder)) == {"train": [1]}


def test_many_of_one_kind_are_named_together(folder: Path) -> None:
    for number in range(1200):
        (folder / "a" / f"{number}.jpg").touch()
    notes = source(folder).notes()
    assert [note.name for note in notes if note.name.startswith("a/")] == ["a/._1.txt", "a/*.jpg (1,200)", "a/old.zip"]
    lines = sentences(notes)
    assert "left out a/*.jpg (1,200), a/old.zip, book.xlsx, more.csv.bak: not a data file by its name" in lines


def test_a_glob_names_what_it_matches_and_does_not_read(folder: Path) -> None:
    names = {note.name for note in source(f"{folder}/*").notes()}
    assert names == {".cache/", "README.md", "RACE.tar.gz", "a/", "book.xlsx", "linked/", "more.csv.bak"}
    assert {note.name for note in source(f"{folder}/**/*.jsonl").notes() if not note.usual} == {"linked/"}
    assert [note.name for note in source(f"{folder}/*.jsonl").notes()] == []


def test_named_files_choose_among_all_and_one_may_be_named_that_is_left_out_else(folder: Path) -> None:
    write_jsonl(folder / "dataset_info.json", [{"n": 3}])
    its = source(folder, files={"train": "*.jsonl", "test": "dataset_info.json"})
    assert found(its) == {"train": [1], "test": [3]} and its.notes() == []
    its = source(folder, files={"train": "*"})
    assert {note.name for note in its.notes()} >= {"a/", "linked/", "dataset_info.json", "book.xlsx"}


def test_where_nothing_is_data_the_error_names_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").touch()
    (tmp_path / "README.md").touch()
    message = (
        r"no data files in .*\n  looked for jsonl, ndjson.*; left out: a\.xlsx \(not a data file by its name\), README"
    )
    with pytest.raises(NotFoundError, match=message):
        source(tmp_path)
    with pytest.raises(NotFoundError, match=r"no file '\*' in (.|\n)*; left out: a\.xlsx"):
        source(tmp_path, files={"train": "*"})
