"""Columns under other names, and what the configuration says of them told apart in every hash."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mtl.config.data import SourceConfig
from mtl.sources.open import open_source
from tests.support.rows import write_jsonl

MAP = {"article": "context", "options": ["A", "B"], "answer": "label"}


def source(path: Path, **its: Any) -> Any:
    config = SourceConfig.model_validate({"task": "mcq", "uri": str(path), **its})
    return open_source(config, 1, cache=path, columns=frozenset({"article", "options", "answer"}))


def test_rows_get_the_mapped_columns(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"context": "x", "A": "a", "B": "b", "label": 1, "article": "the file's own"},
        {"A": "a"},
        {},
    ]
    found = [row.value for row in source(write_jsonl(tmp_path / "a.jsonl", rows), columns=MAP).rows("train")]
    assert found == [
        {"context": "x", "A": "a", "B": "b", "label": 1, "article": "x", "options": ["a", "b"], "answer": 1},
        {"A": "a", "options": ["a", None]},
        {},
    ]


def test_of_a_csv_and_of_a_parquet_file_the_mapped_columns_are_those_that_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    bad = pa.array([b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(
        pa.table({"context": ["x"], "A": ["a"], "B": ["b"], "label": [1], "more": bad}), tmp_path / "a.parquet"
    )
    (row,) = source(tmp_path / "a.parquet", columns=MAP).rows("train")
    assert (row.value["article"], row.value["options"], row.value["answer"]) == ("x", ["a", "b"], 1)
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["context", "A", "B", "label", "label2"], ["x", "a", "b", "1", "2"]])
    (row,) = source(tmp_path / "a.csv", columns=MAP, delimiter=";").rows("train")
    assert (row.value["article"], row.value["options"], row.value["answer"]) == ("x", ["a", "b"], "1")


def test_all_that_decides_a_row_is_part_of_the_hashes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(json.dumps({}))
    ways: list[dict[str, Any]] = [
        {},
        {"columns": MAP},
        {"columns": {**MAP, "options": ["B", "A"]}},
        {"delimiter": ";"},
        {"encoding": "cp1252"},
        {"encoding": "latin-1"},
    ]
    its = [source(tmp_path / "a.csv", **way) for way in ways]
    assert len({one.describe().sha256 for one in its}) == len({one.stamp() for one in its}) == len(ways)
    again = source(tmp_path / "a.csv", columns=dict(reversed(MAP.items())))
    assert again.describe() == its[1].describe()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoding": "cp1251x"}, "unknown encoding 'cp1251x'; did you mean 'cp1252'?"),
        ({"encoding": "base64"}, "unknown encoding 'base64'"),
        ({"delimiter": '"'}, "a quote or a line break cannot divide columns"),
        ({"delimiter": "tab"}, "at most 1 character"),
        ({"columns": {"options": []}}, "columns.options names no column of the source"),
        ({"uri": "demo", "delimiter": ";"}, "delimiter is a property of files; demo has none"),
    ],
)
def test_what_a_source_cannot_say(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SourceConfig.model_validate({"task": "mcq", "uri": "a", **fields})
    assert message in str(caught.value)
