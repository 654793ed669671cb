from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mtl.evaluation.per_example import read_scores, write_scores
from mtl.evaluation.report import ExampleScores

ROWS = (
    ExampleScores("candidate", "mcq", "u1", ("Easy", "Hard"), "MCQs: 1. Question: “x”", {"parsed": 1.0, "bleu": None}),
    ExampleScores("base", "summarize", "u2", (), "", {"rouge1": float("inf")}),
)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", ROWS)
    assert read_scores(tmp_path / "scores.parquet") == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["scores.parquet"]


def test_no_rows(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", [])
    assert read_scores(tmp_path / "scores.parquet") == ()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.parquet"
    write_scores(path, ROWS)

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="no space"):
        write_scores(path, [])
    assert read_scores(path) == ROWS
