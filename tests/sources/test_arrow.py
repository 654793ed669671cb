from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import feather, ipc

from mtl.errors import DataError
from mtl.sources.base import FileOptions
from mtl.sources.formats import read_rows
from mtl.task import BadRow
from tests.sources.test_files import found, source
from tests.support.rows import question

TABLE = pa.Table.from_pylist([question(number) for number in range(600)])


def write(path: Path, kind: str, table: pa.Table = TABLE) -> Path:
    make = ipc.new_file if kind == "file" else ipc.new_stream
    with make(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=400)
    return path


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_files_and_streams_give_their_rows(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "x.arrow", kind)
    rows = list(read_rows(path, "x"))
    assert [row.value for row in rows] == TABLE.to_pylist()
    assert [row.line for row in rows] == list(range(1, 601))
    some = [row.line for row in read_rows(path, "x", lambda row: row in (3, 399, 400, 599))]
    assert some == [4, 400, 401, 600]


def test_feather_is_arrow(tmp_path: Path) -> None:
    feather.write_feather(TABLE, str(tmp_path / "x.feather"))
    assert [row.value for row in read_rows(tmp_path / "x.feather", "x")] == TABLE.to_pylist()


def test_a_saved_data_set_is_read_and_its_own_files_are_named(tmp_path: Path) -> None:
    import datasets

    splits = {"train": [{"n": 1}, {"n": 2}, {"n": 3}], "validation": [{"n": 4}]}
    made = datasets.DatasetDict({split: datasets.Dataset.from_list(rows) for split, rows in splits.items()})
    made.save_to_disk(tmp_path / "saved", num_shards={"train": 2, "validation": 1})
    its = source(tmp_path / "saved")
    assert found(its) == {"train": [1, 2, 3], "validation": [4]}
    kept = [f"{split}/{name}.json" for split in splits for name in ("dataset_info", "state")]
    assert [note.name for note in its.notes()] == ["dataset_dict.json", *kept]
    assert all(note.usual for note in its.notes())
    assert found(source(tmp_path / "saved" / "validation")) == {"validation": [4]}


def test_what_an_older_save_left_is_not_read(tmp_path: Path) -> None:
    import datasets

    datasets.Dataset.from_list([{"n": n} for n in range(6)]).save_to_disk(tmp_path / "saved", num_shards=3)
    datasets.Dataset.from_list([{"n": 7}]).save_to_disk(tmp_path / "saved")
    its = source(tmp_path / "saved")
    assert found(its) == {"train": [7]}
    stale = [note.name for note in its.notes() if note.text == "of an older save, by its state.json"]
    assert stale == [f"data-{number:05}-of-00003.arrow" for number in range(3)]


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_damage_is_refused_in_words_whatever_it_is(tmp_path: Path, kind: str) -> None:
    good = write(tmp_path / "good.arrow", kind, TABLE.slice(0, 20)).read_bytes()
    chance, path, refused = random.Random(7), tmp_path / "x.arrow", 0
    for number in range(400):
        data = bytearray(good)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data if number % 2 else data[: chance.randrange(len(data))])
        try:
            list(read_rows(path, "x"))
        except DataError as error:
            refused += 1
            assert str(error).startswith(("x: damaged arrow file", "x is an empty file"))
    assert refused > 200


def test_a_value_that_python_has_no_form_for_makes_a_bad_row(tmp_path: Path) -> None:
    table = TABLE.slice(0, 2).append_column("at", pa.array([0, 2**62], pa.timestamp("s")))
    path = write(tmp_path / "x.arrow", "stream", table)
    good, bad = (row.value for row in read_rows(path, "x"))
    assert isinstance(good, dict)
    assert isinstance(bad, BadRow)
    assert (bad.reason, bad.field) == ("unreadable value", "at")
    unread = FileOptions(columns=frozenset(TABLE.column_names))
    assert not [row for row in read_rows(path, "x", options=unread) if isinstance(row.value, BadRow)]


def test_text_that_is_not_utf8_makes_a_bad_row_and_costs_no_other(tmp_path: Path) -> None:
    text = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string())
    rows = [row.value for row in read_rows(write(tmp_path / "x.arrow", "file", pa.table({"text": text})), "x")]
    assert [row.reason if isinstance(row, BadRow) else row["text"] for row in rows] == ["a", "not UTF-8", "c"]
