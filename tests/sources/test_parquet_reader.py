"""Of a Parquet file only the columns that are read can do harm, and a bad cell costs its own row."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.errors import DataError
from mtl.sources import parquet_reader
from mtl.sources.archive import ArchiveSource
from mtl.sources.base import FileOptions
from mtl.sources.formats import read_rows
from mtl.task import BadRow

TEXTS = ["one", "two", "three"]
NEEDED = frozenset({"article", "highlights"})


def not_utf8(number: int) -> pa.Array:
    data = [text.encode() for text in TEXTS]
    data[number] = b"br\xefght"
    return pa.array(data, pa.binary()).view(pa.string())


def twice() -> pa.Array:
    return pa.StructArray.from_arrays([pa.array(range(3)), pa.array(range(3))], names=["a", "a"])


UNREADABLE: dict[str, pa.Array] = {
    "not UTF-8": not_utf8(1),
    "a date out of range": pa.array([1, 2**62, 2], pa.timestamp("us")),
    "an unknown time zone": pa.array([1, 2, 3], pa.timestamp("us", tz="Mars/Olympus")),
    "a struct's field twice": twice(),
}


def read(path: Path, columns: frozenset[str] | None = NEEDED, **its: Any) -> list[Any]:
    if its:
        pq.write_table(pa.table({"article": pa.array(TEXTS), "highlights": pa.array(TEXTS), **its}), path)
    return [row.value for row in read_rows(path, path.name, options=FileOptions(columns=columns))]


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_column_that_nobody_reads_does_no_harm(tmp_path: Path, kind: str) -> None:
    found = read(tmp_path / "a.parquet", more=UNREADABLE[kind])
    assert [(row["article"], row["highlights"]) for row in found] == list(zip(TEXTS, TEXTS, strict=True))
    assert "more" in found[0], "named for messages about columns"


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        ("not UTF-8", [None, "not UTF-8", None]),
        ("a date out of range", [None, "unreadable value", None]),
        ("an unknown time zone", ["unreadable value"] * 3),
        ("a struct's field twice", ["unreadable value"] * 3),
    ],
)
@pytest.mark.parametrize("columns", [NEEDED, None])
def test_a_bad_cell_of_a_needed_column_is_a_bad_row(
    tmp_path: Path, kind: str, reasons: list[str | None], columns: frozenset[str] | None
) -> None:
    found = read(tmp_path / "a.parquet", columns, highlights=UNREADABLE[kind])
    assert [value.reason if isinstance(value, BadRow) else None for value in found] == reasons
    assert {value.field for value in found if isinstance(value, BadRow)} == {"highlights"}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(TEXTS, pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        pa.array(TEXTS).dictionary_encode(),
    ],
)
def test_texts_of_every_arrow_type_are_texts(tmp_path: Path, column: pa.Array) -> None:
    assert [row["highlights"] for row in read(tmp_path / "a.parquet", highlights=column)] == TEXTS


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.string()), pa.large_list(pa.large_string()), pa.list_(pa.string(), 2), pa.list_view(pa.string())],
)
def test_lists_of_every_arrow_type_are_lists(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array([[text, "x"] for text in TEXTS], kind)
    assert [row["highlights"] for row in read(tmp_path / "a.parquet", highlights=column)] == column.to_pylist()


def test_columns_that_are_not_read_may_be_too_large_to_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_reader, "MAX_GROUP", 2000)
    large = pa.array([str(number) * 5000 for number in range(3)])
    assert len(read(tmp_path / "a.parquet", images=large)) == 3
    with pytest.raises(DataError, match=r"a\.parquet: row group 0 holds over 2000 bytes"):
        read(tmp_path / "a.parquet", highlights=large)


def test_a_needed_column_twice_is_refused(tmp_path: Path) -> None:
    names, path = ["article", "highlights", "article", "x", "x"], tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(TEXTS)] * 5, names=names), path)
    with pytest.raises(DataError, match=r"a\.parquet: two columns are called 'article'\n"):
        read(path)


@pytest.mark.parametrize("where", [0.1, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("cut", [False, True])
def test_damage_is_an_error_that_names_the_file(tmp_path: Path, where: float, cut: bool) -> None:
    path = tmp_path / "a.parquet"
    read(path, article=pa.array(TEXTS))
    data = bytearray(path.read_bytes())
    at = int(where * len(data))
    path.write_bytes(data[:at] if cut else data[:at] + b"\x99" * 20 + data[at + 20 :])
    try:
        assert len(read(path)) == 3
    except DataError as error:
        assert error.message.startswith("a.parquet: ")


def test_a_columns_name_that_is_not_utf8_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    read(path, article=pa.array(TEXTS))
    path.write_bytes(path.read_bytes().replace(b"article", b"\x93rticle"))
    with pytest.raises(DataError, match=r"^a\.parquet: damaged parquet file: "):
        read(path)


def test_it_is_read_from_a_tar_archive(tmp_path: Path) -> None:
    read(tmp_path / "a.parquet", article=pa.array(TEXTS))
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.parquet", "a.parquet")
    source = ArchiveSource("any", tmp_path / "a.tar.gz", uri="a", files={}, limits={})
    assert [row.value["article"] for row in source.rows("train")] == TEXTS  # type: ignore[index]
