"""Scores of single examples as Parquet, so that later models can be compared in pairs with today's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtl.evaluation.report import ExampleScores, QuestionReading

_READING = pa.struct(
    [
        ("question", pa.string()),
        ("label", pa.string()),
        ("key", pa.int32()),
        ("with_passage", pa.list_(pa.float64())),
        ("without_passage", pa.list_(pa.float64())),
        ("fault", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("task", pa.string()),
        ("uid", pa.string()),
        ("groups", pa.list_(pa.string())),
        ("prediction", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("readings", pa.list_(_READING)),
    ]
)
"""One row for each model and example; a score is null where the metric does not apply.

readings: one for each question that the reader read, see `QuestionReading`.
"""


def write_scores(path: Path, rows: Iterable[ExampleScores]) -> None:
    """Writes aside and renames, so that `path` is whole or is not there; makes its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [
        {
            "model": row.model,
            "task": row.task,
            "uid": row.uid,
            "groups": list(row.groups),
            "prediction": row.prediction,
            "scores": list(row.scores.items()),
            "readings": [asdict(reading) for reading in row.readings],
        }
        for row in rows
    ]
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(pa.Table.from_pylist(columns, schema=SCHEMA), aside, compression="zstd")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_scores(path: Path) -> tuple[ExampleScores, ...]:
    """Rows in the order in which they were written; of a file from before there were readings, without them."""
    return tuple(
        ExampleScores(
            model=row["model"],
            task=row["task"],
            uid=row["uid"],
            groups=tuple(row["groups"]),
            prediction=row["prediction"],
            scores=dict(row["scores"]),
            readings=tuple(_reading(item) for item in row["readings"] or ()),
        )
        for row in pq.read_table(path, schema=SCHEMA).to_pylist()
    )


def _reading(item: dict[str, Any]) -> QuestionReading:
    sides = {side: tuple(item[side]) for side in ("with_passage", "without_passage")}
    return QuestionReading(**{**item, **sides})
