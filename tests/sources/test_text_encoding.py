"""Text in other encodings: read where the source names it, refused in words where it should have."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.errors import DataError
from mtl.sources.base import FileOptions
from mtl.sources.formats import read_rows
from mtl.task import BadRow

TEXT = "Über “Söhne”, said the town"
FILES = {
    "a.csv": f'article,highlights\n"{TEXT}",x\n',
    "a.jsonl": f'{{"article": "{TEXT}", "highlights": "x"}}\n',
    "a.json": f'[{{"article": "{TEXT}", "highlights": "x"}}]\n',
    "a.story": f"{TEXT}\n\n@highlight\n\nx\n",
    "1.txt": f'{{"article": "{TEXT}", "highlights": "x"}}',
}


def read(folder: Path, name: str, data: bytes, encoding: str | None) -> list[object]:
    (folder / name).write_bytes(data)
    rows = read_rows(folder / name, name, options=FileOptions(encoding=encoding))
    return [row.value if isinstance(row.value, BadRow) else row.value["article"] for row in rows]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "mac-roman"])
@pytest.mark.parametrize("name", FILES)
def test_every_text_file_is_read_in_the_encoding_of_its_source(tmp_path: Path, name: str, encoding: str) -> None:
    assert read(tmp_path, name, FILES[name].encode(encoding), encoding) == [TEXT]


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-16", "utf-16"), ("utf-16-le",) * 2, ("utf-16-be",) * 2, ("utf-32", "utf-32")]
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json"])
def test_text_of_wide_characters_names_the_encoding_to_set(tmp_path: Path, name: str, encoding: str, said: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, name, FILES[name].encode(encoding), None)
    assert caught.value.message == f"{name}: {said.upper()} text, expected UTF-8"
    assert caught.value.hint == f"say `encoding: {said}` beside the source's uri"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.story", "1.txt"])
def test_a_document_of_wide_characters_is_one_bad_row(tmp_path: Path, name: str, encoding: str) -> None:
    (bad,) = read(tmp_path, name, FILES[name].encode(encoding), None)
    assert isinstance(bad, BadRow)
    assert bad.reason == "not UTF-8"
    assert f"say `encoding: {encoding}` beside the source's uri" in bad.detail


def test_another_encoding_than_the_configured_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv: begins with the byte order mark of UTF-8, the source says"):
        read(tmp_path, "a.csv", FILES["a.csv"].encode("utf-8-sig"), "cp1252")
    with pytest.raises(DataError, match=r"a\.csv: not utf-16: .*truncated data\n  is it cut off"):
        read(tmp_path, "a.csv", FILES["a.csv"].encode("utf-16")[:-1], "utf-16")


def test_bytes_that_the_encoding_does_not_have_are_bad_rows(tmp_path: Path) -> None:
    lines = b'{"article": "\x81"}\n{"article": "\xe9"}\n'
    found = read(tmp_path, "a.jsonl", lines, "cp1252")
    assert [str(value) for value in found] == ["not UTF-8 (line)", "é"]
