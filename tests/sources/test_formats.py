from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtl.errors import DataError
from mtl.sources import formats, parquet_reader
from mtl.sources.formats import read_rows
from mtl.task import BadRow
from tests.support.rows import question, write_jsonl

ROWS = [question(1), question(2, article="Ünï “code”\nsecond line")]


def jsonl(path: Path) -> None:
    write_jsonl(path, ROWS)


def array(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=1))


def comma(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows({**row, "options": json.dumps(row["options"])} for row in ROWS)


def parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


WRITERS = {"rows.jsonl": jsonl, "rows.json": array, "rows.csv": comma, "rows.parquet": parquet}


def read(path: Path) -> list[Any]:
    return [(row.value, row.origin) for row in read_rows(path, path.name)]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_each_format_gives_the_same_rows(tmp_path: Path, name: str, packed: bool) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    if packed:
        packed_path = tmp_path / f"{name}.gz"
        packed_path.write_bytes(gzip.compress(path.read_bytes()))
        path = packed_path
    values: list[Any] = [row.value for row in read_rows(path, "x")]
    if name.startswith("rows.csv"):
        values = [{**value, "options": json.loads(value["options"])} for value in values]
    assert values == ROWS


def test_bad_lines_are_rows_with_a_reason_and_a_place(tmp_path: Path) -> None:
    lines: list[Any] = [{"a": 1}, b"\xff\xfe", b"{not json", b"[1]", b"", b"[" * 100_000, {"a": 2}]
    found = read(write_jsonl(tmp_path / "x.jsonl", lines))
    assert [(str(value) if isinstance(value, BadRow) else value, origin) for value, origin in found] == [
        ({"a": 1}, "x.jsonl:1"),
        ("not UTF-8 (line)", "x.jsonl:2"),
        ("not JSON (line)", "x.jsonl:3"),
        ("not a JSON object (line)", "x.jsonl:4"),
        ("not JSON (line)", "x.jsonl:6"),
        ({"a": 2}, "x.jsonl:7"),
    ]


def test_an_endless_line_is_one_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_LINE", 100)
    found = read(write_jsonl(tmp_path / "x.jsonl", [{"a": "x" * 1000}, {"a": 2}]))
    assert [str(value) for value, _ in found] == ["over length (line)", "{'a': 2}"]


def test_csv_with_bytes_that_are_not_utf8_keeps_the_row_for_the_task_to_refuse(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"a,b\n1,\xff\n2,3,4\n5,6\n")
    found = read(tmp_path / "x.csv")
    assert found[0][0] == {"a": "1", "b": "\udcff"}
    assert [str(value) for value, _ in found[1:]] == ["more fields than columns (line)", "{'a': '5', 'b': '6'}"]


def test_an_array_may_hold_other_things(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"a": 1}, 2]')
    assert [str(value) for value, _ in read(tmp_path / "x.json")] == ["{'a': 1}", "not a JSON object (row)"]


def test_json_that_is_no_array_is_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert [value for value, _ in read(tmp_path / "x.json")] == [{"a": 1}, {"a": 2}]


def bomb(path: Path) -> None:
    path.write_bytes(gzip.compress(b"\n" * 2**21))


def truncated(path: Path) -> None:
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-20])


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.jsonl.gz", bomb, "x.jsonl.gz: unpacks to more than"),
        ("x.jsonl.gz", truncated, "x.jsonl.gz: damaged jsonl file"),
        ("x.jsonl.gz", lambda path: path.write_bytes(b"plain"), "x.jsonl.gz: damaged jsonl file"),
        ("x.parquet", lambda path: path.write_bytes(b"PAR1 and no more"), "x.parquet: damaged parquet file"),
        ("x.json", lambda path: path.write_bytes(b'[{"a": 1}'), "x.json: not JSON"),
        ("x.json", lambda path: path.write_bytes(b"[" * 100_000), "x.json: not JSON"),
        ("x.json", lambda path: path.write_bytes(b"[" + b" " * 9000), "x.json: over 4096 bytes in one value"),
        ("x.txt", lambda path: path.write_bytes(b""), "x.txt: not a data file by its name"),
    ],
)
def test_files_that_must_not_be_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: Callable[[Path], Any], message: str
) -> None:
    monkeypatch.setattr(formats, "BOMB_FREE", 2**20)
    if "4096" in message:
        monkeypatch.setattr(formats, "MAX_WHOLE", 4096)
    write(tmp_path / name)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert caught.value.message.startswith(message)


def test_a_parquet_row_group_too_large_to_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path / "x.parquet")
    monkeypatch.setattr(parquet_reader, "MAX_GROUP", 10)
    with pytest.raises(DataError, match=r"x\.parquet: row group 0 holds over 10 bytes"):
        read(tmp_path / "x.parquet")


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return packed


LINE = b'{"a": 1}\n'
SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.ndjson", LINE * 2),
        ("x.jsonlines", LINE * 2),
        ("x.jsonl.zst", zstd(LINE * 2)),
        ("x.NDJSON.ZSTD", zstd(LINE) + zstd(LINE)),  # frame after frame, as zstd writes them
        ("x.jsonl.zst", SKIPPED + zstd(LINE * 2)),  # as pzstd writes them
        ("x.jsonl", zstd(LINE * 2)),  # packed, whatever the name says
        ("x.jsonl", gzip.compress(LINE * 2)),
        ("x.jsonl.gz", zstd(LINE * 2)),
        ("x.tsv", b"a\n1\n1\n"),
        ("x.tsv.gz", gzip.compress(b"a\n1\n1\n")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_kinds_and_packings_by_name_and_content(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    rows = [row.value for row in read_rows(tmp_path / name, name)]
    assert [int(row["a"]) for row in rows if not isinstance(row, BadRow)] == [1, 1]


def test_a_tsv_has_tabs_and_may_have_commas(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text('article\thighlights\nOne, two.\t"a\tb"\n')
    assert [value for value, _ in read(tmp_path / "x.tsv")] == [{"article": "One, two.", "highlights": "a\tb"}]


def test_parquet_that_is_gzipped_inside_is_read_as_pandas_names_it(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "x.parquet.gzip", compression="gzip")
    assert [value for value, _ in read(tmp_path / "x.parquet.gzip")] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl.zst", zstd(LINE * 1000)[:-9], "x.jsonl.zst: damaged jsonl file: Truncated compressed stream"),
        ("x.jsonl.zst", zstd(b"\n" * 2**21), "x.jsonl.zst: unpacks to more than"),
        ("x.jsonl.zst", b"", "x.jsonl.zst: damaged jsonl file: gzip or zstd by its name, but it is empty"),
        ("x.csv.gz", b"a,b\n", "x.csv.gz: damaged csv file: gzip or zstd by its name, but it begins like neither"),
        ("x.txt.gz", b"a", "x.txt.gz: not a data file by its name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_packed_files_that_must_not_be_read_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, message: str
) -> None:
    monkeypatch.setattr(formats, "BOMB_FREE", 2**20)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name)
    assert caught.value.message.startswith(message)
