from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mtl.evaluation.per_example import read_scores, write_scores
from mtl.evaluation.report import ExampleScores, QuestionReading

READINGS = (
    QuestionReading("x", "Easy", 1, (0.1, 0.2 + 0.1, 0.6, 1e-17), (0.25, 0.25, 0.25, 0.25), "key"),
    QuestionReading("y", "Hard", 0, (1.0, 0.0), (0.5, 0.5), None),
)
ROWS = (
    ExampleScores(
        "candidate", "mcq", "u1", ("Easy", "Hard"), "MCQs: 1. Question: “x”", {"parsed": 1.0, "bleu": None}, READINGS
    ),
    ExampleScores("base", "summarize", "u2", (), "", {"rouge1": float("inf")}),
)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", ROWS)
    assert read_scores(tmp_path / "scores.parquet") == ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["scores.parquet"]


def test_a_file_from_before_there_were_readings_is_read_without_them(tmp_path: Path) -> None:
    write_scores(tmp_path / "new.parquet", ROWS)
    pq.write_table(pq.read_table(tmp_path / "new.parquet").drop_columns("readings"), tmp_path / "old.parquet")
    assert read_scores(tmp_path / "old.parquet") == tuple(replace(row, readings=()) for row in ROWS)


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
