from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mtl.config.data import DataConfig
from mtl.data.manifest import DatasetManifest
from mtl.data.prepare import prepare
from mtl.store.memory import MemoryStore
from tests.support.rows import Row, article, question, write_jsonl
from tests.support.s3 import aws, bucket, s3_client, s3_endpoint
from tests.support.words import word_tokenizer

__all__ = ["aws", "bucket", "s3_client", "s3_endpoint"]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sources with nothing bad in them: 12 + 3 questions of 6 + 2 passages, 5 + 2 articles."""
    write_race(tmp_path / "race")
    for split, numbers in {"train": range(5), "validation": range(5, 7)}.items():
        write_jsonl(tmp_path / "news" / f"{split}.jsonl", [article(n) for n in numbers])
    return tmp_path


def race_rows() -> dict[str, list[Row]]:
    train = [
        question(
            n, passage=f"Passage {n // 2} says that Tom has a dog.", example_id=f"{('middle', 'high')[n % 2]}1.txt"
        )
        for n in range(12)
    ]
    validation = [question(n, passage=f"Passage {n // 2} says that Tom has a dog.") for n in range(20, 23)]
    return {"train": train, "validation": validation}


def write_race(folder: Path, **changed: Sequence[Row | bytes]) -> None:
    files: dict[str, Sequence[Row | bytes]] = {**race_rows(), **changed}
    for split, rows in files.items():
        write_jsonl(folder / f"{split}.jsonl", rows)


def config(folder: Path, **fields: Any) -> DataConfig:
    sources = [
        {"task": "mcq", "uri": str(folder / "race")},
        {"task": "summarize", "uri": str(folder / "news")},
    ]
    return DataConfig.model_validate({"sources": sources, "max_target_tokens": 1024, **fields})


@pytest.fixture
def run(store: MemoryStore, tmp_path: Path) -> Callable[..., DatasetManifest]:
    """prepare with the small tokenizer, into the test's store and cache."""

    def call(data: DataConfig, **changed: Any) -> DatasetManifest:
        its = {"seed": 5, "tokenizer": word_tokenizer(), "store": store, "cache": tmp_path / "cache", **changed}
        return prepare(data, **its)

    return call
