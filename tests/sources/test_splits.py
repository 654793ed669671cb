from __future__ import annotations

import pytest

from mtl.errors import DataError
from mtl.sources.splits import by_split, own_split, split_in

NFD = "pre\u0301test.csv"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("race.train.jsonl", "train"),
        ("race.dev.jsonl", "validation"),
        ("race.test.jsonl", "test"),
        ("cnn_dm.val.jsonl.gz", "validation"),
        ("raceTest.csv", "test"),
        ("RACETest.csv", "test"),
        ("RACEtest.csv", "test"),
        ("TestRACE.csv", "test"),
        ("testset.csv", "test"),
        ("my_TrainSet-1.tsv", "train"),
        ("devdata.ndjson", "validation"),
        ("TEST-00000-of-00001.parquet", "test"),
        ("eval.jsonl", "test"),
        ("news.evaluation.jsonl", "test"),
        ("training_data.json", "train"),
        ("Kopie von test (2).csv", "test"),
        ("数据test.jsonl", "test"),
        ("t5_validation.jsonl.zst", "validation"),
        ("contest.csv", None),
        ("latest.csv", None),
        ("trainers_guide.jsonl", None),
        ("developer.jsonl", None),
        ("interval.jsonl", None),
        ("retrain.jsonl", None),
        ("unittest.jsonl", None),
        ("Testament.jsonl", None),
        ("Ttest.csv", None),
        ("prétest.csv", None),
        (NFD, None),
        ("mine.jsonl", None),
    ],
)
def test_every_word_of_a_name_is_looked_at_and_no_part_of_a_word(name: str, split: str | None) -> None:
    assert split_in(name) == split
    assert by_split([name], "u")[0][split or "train"] == [name]


def test_the_nearest_name_decides() -> None:
    names = ["test/train.jsonl", "training-corpora/race/dev.jsonl", "a/validation/x/1.txt", "train_and_dev/test/y.csv"]
    assert by_split(names, "u") == (
        {"train": names[:1], "validation": names[1:3], "test": names[3:]},
        [],
    )


def test_a_name_that_speaks_of_two_splits_is_refused_unless_its_folder_decides() -> None:
    with pytest.raises(DataError, match=r"a/train_test_split\.csv: its name speaks of train and of test\n  say which"):
        by_split(["a/train_test_split.csv"], "u")
    assert by_split(["test/train_test_1.csv"], "u")[0]["test"] == ["test/train_test_1.csv"]


def test_that_no_name_tells_a_split_is_said() -> None:
    (note,) = by_split(["contest.csv", "latest.csv", "trainers_guide.csv", "developer.csv"], "u")[1]
    assert note.text == (
        "no name tells a split, so all 4 files are taken as train: "
        "contest.csv, latest.csv, trainers_guide.csv and 1 more"
    )
    (note,) = by_split(["news.csv"], "u")[1]
    assert note.text == "no name tells a split, so its one file is taken as train: news.csv"


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (
            ["extra.jsonl", "test.jsonl"],
            "extra.jsonl: no split in its name, while other files in u have one: test.jsonl (test)",
            "for example files: {train: 'extra.jsonl', test: 'test.jsonl'}",
        ),
        (
            ["a.jsonl", "b.jsonl", "c.jsonl", "d.jsonl", "race.train.jsonl"],
            "a.jsonl, b.jsonl, c.jsonl and 1 more: no split in their names, while other files in u have one: "
            "race.train.jsonl (train)",
            "name the files of each split under `files`",
        ),
        (
            ["racedev.jsonl", "racetest.jsonl", "racetrain.jsonl"],
            "racedev.jsonl, racetest.jsonl, racetrain.jsonl in u: their names end like those of splits",
            "name the files of each split under `files`, or rename them",
        ),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_to_do(names: list[str], message: str, hint: str) -> None:
    with pytest.raises(DataError) as caught:
        by_split(names, "u")
    assert caught.value.message.startswith(message)
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("folders", "split"),
    [
        (("/", "data", "dev"), "validation"),
        (("RACE", "test", "high"), "test"),
        (("RACE", "Train", "Middle"), "train"),
        (("data", "test_set"), "test"),
        (("test", "news"), None),
        (("test_something0",), None),
        (("my-dev",), None),
        ((), None),
    ],
)
def test_a_folder_named_after_a_split_tells_it(folders: tuple[str, ...], split: str | None) -> None:
    assert own_split(folders) == split
