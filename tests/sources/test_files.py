from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mtl.errors import DataError, NotFoundError
from mtl.sources.files import FileSource
from tests.support.rows import write_jsonl


def source(uri: Path | str, **its: dict[str, str] | dict[str, int]) -> FileSource:
    files = {key: str(value) for key, value in its.get("files", {}).items()}
    return FileSource("mcq", str(uri), files=files, limits={k: int(v) for k, v in its.get("limits", {}).items()})


def found(its: FileSource) -> dict[str, list[object]]:
    return {split: [row.value["n"] for row in its.rows(split)] for split in its.splits()}  # type: ignore[index]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    write_jsonl(root / "train" / "b.jsonl", [{"n": 2}])
    write_jsonl(root / "train" / "a.jsonl", [{"n": 1}])
    write_jsonl(root / "my-dev.jsonl", [{"n": 3}])
    write_jsonl(root / "race_test_1.jsonl", [{"n": 4}])
    (root / "readme.txt").write_text("train")
    write_jsonl(root / ".cache" / "train.jsonl", [{"n": 0}])
    return root


def test_splits_are_found_by_file_or_folder_name(folder: Path) -> None:
    assert found(source(folder)) == {"train": [1, 2], "validation": [3], "test": [4]}


def test_a_glob_and_a_limit(folder: Path) -> None:
    assert found(source(f"{folder}/*/*.jsonl", limits={"train": 1})) == {"train": [1]}


def test_origins_are_relative_to_the_folder(folder: Path) -> None:
    assert [row.origin for row in source(folder).rows("train")] == ["train/a.jsonl:1", "train/b.jsonl:1"]


def test_named_files_decide(folder: Path) -> None:
    its = source(folder, files={"train": "race_test_1.jsonl", "test": "train/*.jsonl"})
    assert found(its) == {"train": [4], "test": [1, 2]}


def test_one_file_or_files_without_a_split_are_train(tmp_path: Path) -> None:
    one = write_jsonl(tmp_path / "x" / "mine.jsonl", [{"n": 1}])
    assert found(source(one)) == {"train": [1]} == found(source(one.parent))


def test_content_names_the_source_wherever_it_lies(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere")
    here, there = source(folder), source(tmp_path / "elsewhere")
    assert here.describe().sha256 == there.describe().sha256
    assert here.stamp() != there.stamp()
    before = here.stamp(), here.describe().sha256
    assert (here.stamp(), here.describe().sha256) == before
    write_jsonl(folder / "my-dev.jsonl", [{"n": 5}])
    assert here.stamp() != before[0] and here.describe().sha256 != before[1]


QUESTIONS = {"article": "A b.", "questions": ["C?"], "options": [["a", "b", "c", "d"]], "answers": ["A"]}


def test_all_that_determines_a_row_names_the_source(tmp_path: Path) -> None:
    """Path, level, split and format: equal bytes under another name are other rows."""
    write_jsonl(tmp_path / "RACE" / "train" / "high" / "1.txt", [QUESTIONS])
    seen = {}
    for name in ("RACE/train/high", "RACE/train/middle", "RACE/dev/high", "RACE-C", "x"):
        target = tmp_path / "copies" / name
        shutil.copytree(tmp_path / "RACE" / "train" / "high", target)
        seen[name] = source(target).describe().sha256
    (tmp_path / "college").symlink_to(tmp_path / "copies" / "x")
    seen["link"] = source(tmp_path / "college").describe().sha256
    for name in ("train.csv", "train.tsv", "test.csv", "train2.csv"):
        (tmp_path / name).write_text("a,b\n1,2\n")
        seen[name] = source(tmp_path / name).describe().sha256
    assert seen.pop("link") == seen["RACE-C"], "both say college"
    assert len(set(seen.values())) == len(seen)


def test_a_link_of_another_name_has_another_stamp(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "x" / "1.txt", [QUESTIONS])
    for name in ("high", "middle"):
        (tmp_path / name).symlink_to("x")
    stamps = {name: source(tmp_path / name).stamp() for name in ("x", "high", "middle")}
    assert len(set(stamps.values())) == 3
    assert [row.value["level"] for row in source(tmp_path / "middle").rows("train")] == ["middle"]  # type: ignore[index]


def test_what_is_not_there_gets_a_suggestion(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file or folder '.*/dat'\n  did you mean 'data'\?"):
        source(tmp_path / "dat")
    with pytest.raises(NotFoundError, match=r"no file 'my-deb.jsonl' in .*\n  did you mean 'my-dev.jsonl'\?"):
        source(folder, files={"train": "my-deb.jsonl"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"no data files in .*\n  looked for jsonl"):
        source(tmp_path / "empty")


def test_a_file_whose_split_nobody_can_tell_is_refused(folder: Path) -> None:
    write_jsonl(folder / "more.jsonl", [{"n": 9}])
    with pytest.raises(DataError, match=r"more.jsonl: no split in its name, while other files in .*: my-dev.jsonl"):
        source(folder)


def test_the_folder_itself_may_tell_the_split(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "dev" / "a.jsonl", [{"n": 1}])
    write_jsonl(tmp_path / "dev" / "b_train.jsonl", [{"n": 2}])
    its = source(tmp_path / "dev")
    assert found(its) == {"train": [2], "validation": [1]}
    assert its.notes()[0].text == "taken as validation, after the name of the source itself: a.jsonl"


@pytest.mark.parametrize("pattern", ["../secret.jsonl", "/etc/passwd"])
def test_named_files_stay_in_the_folder(folder: Path, pattern: str) -> None:
    with pytest.raises(DataError, match="leaves the folder"):
        source(folder, files={"train": pattern})


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_not(folder: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    write_jsonl(inner / "train.jsonl", [{"n": 1}])
    (inner / "test.jsonl").symlink_to(inner / "train.jsonl")
    assert found(source(inner)) == {"train": [1], "test": [1]}
    secret = write_jsonl(tmp_path / "secret.jsonl", [{"n": 0}])
    (folder / "train" / "c.jsonl").symlink_to(secret)
    with pytest.raises(DataError, match=r"train/c\.jsonl: a link out of the folder"):
        source(folder)


def test_a_link_to_nothing_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "train.jsonl", [{"n": 1}])
    broken = tmp_path / "dev.jsonl"
    for target in ("nowhere", "dev.jsonl"):
        broken.symlink_to(target)
        with pytest.raises(DataError, match=r"dev\.jsonl: a link to nothing\n  mend it or take it away"):
            source(tmp_path)
        broken.unlink()
    os.mkfifo(broken)
    with pytest.raises(DataError, match=r"dev\.jsonl: neither a file nor a link to one"):
        source(tmp_path)
