"""Nights of a small service: the rows of each, and what a retrain of them is asked to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtl.config.retrain import RetrainConfig, parse_config
from tests.support.bases import save_base
from tests.support.retrains import small_values
from tests.support.rows import article, write_jsonl

ROWS = 40
"""Articles to train on in the first night; each later night has one more."""


def write_night(folder: Path, night: int, *, rows: int | None = None) -> None:
    """The articles of a night, counted from 1, in place of those of the night before."""
    write_jsonl(folder / "train.jsonl", (article(number) for number in range(rows or ROWS + night - 1)))
    write_jsonl(folder / "validation.jsonl", (article(1000 + number) for number in range(4)))


def night_config(folder: Path, **train: Any) -> RetrainConfig:
    """The configuration of all nights. train: replaces what its section says."""
    base = folder / "base"
    if not base.exists():
        save_base(base)
    values = small_values(base, **{"from": "champion", "warm_steps": 4} | train)
    values["data"]["sources"] = [
        {"task": "summarize", "uri": str(folder / "news")},
        {"task": "mcq", "uri": "demo", "rows": {"train": 20, "validation": 4}},
    ]
    return parse_config(values)
