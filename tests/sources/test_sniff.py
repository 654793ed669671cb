"""A file that is something else than its name says is refused by what it is; a good one never is."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.errors import DataError
from mtl.sources.formats import read_rows
from mtl.sources.sniff import check_kind, other_kind
from mtl.task import BadRow

ROW = {"article": "Ann has a cat, and a dog.", "highlights": "Ann has two."}
LINES = (json.dumps(ROW) + "\n").encode() * 3
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x" * 100)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(LINES)
        archive.addfile(member, io.BytesIO(LINES))
    return out.getvalue()


def table() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([ROW]), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "what", "remedy"),
    [
        ("a.jsonl", json.dumps([ROW, ROW]).encode(), "a JSON array, not an object a line", ".json"),
        ("a.jsonl", json.dumps([ROW], indent=1).encode(), "a JSON array", ".json"),
        ("a.jsonl", json.dumps(ROW, indent=1).encode(), "a JSON object spread over several lines", "jq -c"),
        ("a.json", json.dumps({"data": [ROW]}, indent=1).encode(), "a JSON object spread over several lines", "array"),
        ("a.jsonl.gz", gzip.compress(gzip.compress(LINES)), "a gzip file", ".gz"),
        ("a.jsonl", bz2.compress(LINES), "a bzip2 file", "unpack"),
        ("a.jsonl", lzma.compress(LINES), "an xz file", "unpack"),
        ("a.jsonl", POINTER, "a Git LFS pointer, not the data", "git lfs pull"),
        ("a.parquet", POINTER, "a Git LFS pointer, not the data", "git lfs pull"),
        ("a.csv", b"/annex/objects/MD5E-s1--0.csv\n", "a git-annex pointer", "git annex get"),
        ("a.json", b"<!DOCTYPE html><title>404</title>", "an HTML page, not the data", "fetch"),
        ("a.parquet", b"\n <HTML><body>Sign in</body>", "an HTML page, not the data", "fetch"),
        ("a.csv", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML document", "fetch"),
        ("a.jsonl", b"", "an empty file", "fetch"),
        ("a.csv", b"", "an empty file", "fetch"),
        ("a.json", b"", "an empty file", "fetch"),
        ("a.parquet", b"", "an empty file", "fetch"),
        ("a.jsonl.gz", gzip.compress(b""), "an empty file", "fetch"),
        ("a.csv", zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook", "CSV"),
        ("a.jsonl", zipped("a.jsonl"), "a zip file", "unpack"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "an Office document", "CSV"),
        ("a.jsonl", tarred(), "a tar archive", ".tar"),
        ("a.csv", LINES, "JSON, not a table", ".jsonl"),
        ("a.parquet", LINES, "JSON, not parquet", ".jsonl"),
        ("a.jsonl", table(), "a parquet file", ".parquet"),
        ("a.csv", b"%PDF-1.7\n", "a PDF", "text"),
        ("a.json", b"SQLite format 3\x00" + bytes(100), "an SQLite database", "export"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",  # packed bytes hold the time
)
def test_another_kind_of_file_is_named(tmp_path: Path, name: str, content: bytes, what: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_rows(tmp_path / name, f"in/{name}"))
    assert caught.value.message.startswith(f"in/{name} is {what}")
    assert caught.value.message.endswith(f", but its name says {name.split('.')[1]}")
    assert remedy in str(caught.value.hint)


def test_a_file_that_is_not_packed_though_its_name_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(LINES)
    with pytest.raises(
        DataError,
        match=r"gzip or zstd by its name, but it begins like neither\n  .*correct its name",
    ):
        list(read_rows(tmp_path / "a.jsonl.gz", "a.jsonl.gz"))


@pytest.mark.parametrize("name", ["1.txt", "a.story"])
@pytest.mark.parametrize(("content", "what"), [(POINTER, "a Git LFS pointer, not the data"), (b"", "an empty file")])
def test_among_many_documents_a_bad_one_is_one_bad_row(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    (row,) = read_rows(tmp_path / name, name)
    assert isinstance(row.value, BadRow)
    assert (row.value.reason, row.value.field) == (f"not a document: {what}", "file")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.jsonl", b"\xef\xbb\xbf" + LINES),
        ("a.jsonl", b"\n\n" + LINES),
        ("a.jsonl", b'["one bad row"]\n' + LINES),
        ("a.jsonl", b"{\n" + LINES),
        ("a.json", json.dumps([ROW], indent=2).encode()),
        ("a.json", LINES),
        ("a.csv", b"article,highlights\nx,y\n"),
        ("a.csv", b'"<p>article",{highlights}\nx,y\n'),
        ("a.parquet", table()),
    ],
)
def test_what_its_name_says_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert any(not isinstance(row.value, BadRow) for row in read_rows(tmp_path / name, name))


@given(st.binary(max_size=600), st.sampled_from(["jsonl", "json", "csv", "parquet", "story", "race", "text"]))
def test_any_bytes_are_told_or_left_to_the_reader(head: bytes, kind: str) -> None:
    found = other_kind(head, kind)
    if found is None:
        check_kind(head, kind, "a")
    else:
        with pytest.raises(DataError, match="a is ") as caught:
            check_kind(head, kind, "a")
        assert caught.value.hint
