"""Pieces that are worked on elsewhere, each in a folder of its own, give the same bytes as one process."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from mtl.config.data import DataConfig
from mtl.data.prepare import prepare
from mtl.errors import DataError
from mtl.settings import load_settings
from mtl.store.memory import MemoryStore
from tests.data.conftest import config, write_race
from tests.support.apart import Apart
from tests.support.rows import question, write_jsonl
from tests.support.words import word_tokenizer


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of the other machine."""
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "elsewhere"))
    return load_settings().cache


def prepared(data: DataConfig, cache: Path, **its: Any) -> dict[str, bytes]:
    """All objects of the data set."""
    store = MemoryStore()
    prepare(data, seed=5, tokenizer=word_tokenizer(), store=store, cache=cache, **its)
    return {info.key: store.get(info.key) for info in store.list("")}


def plain(folder: Path) -> DataConfig:
    """Files large enough to be cut, and small ones that are read together."""
    write_race(folder / "race", train=[question(n, passage=f"Story {n // 3} tells of Ann.") for n in range(3000)])
    return config(folder)


def packed(folder: Path) -> DataConfig:
    write_jsonl(folder / "race" / "train.jsonl", [question(n, passage=f"Story {n} of Ann.") for n in range(30)])
    path = folder / "race" / "train.jsonl"
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return config(folder)


def limited(folder: Path) -> DataConfig:
    write_race(folder / "race", train=[question(n, passage=f"Story {n // 3} tells of Ann.") for n in range(900)])
    write_jsonl(folder / "race" / "train-more.jsonl", [question(n) for n in range(50)])
    return _changed(config(folder), rows={"train": 920})


def archived(folder: Path) -> DataConfig:
    with tarfile.open(folder / "race-high.tar.gz", "w:gz") as archive:
        archive.add(folder / "race", "race")
    shutil.rmtree(folder / "race")
    return _changed(config(folder), uri=str(folder / "race-high.tar.gz"))


def matched(folder: Path) -> DataConfig:
    """A glob, and a folder whose name says the level."""
    write_jsonl(folder / "high" / "train-1.jsonl", [question(n, passage=f"Story {n} of Ann.") for n in range(9)])
    return _changed(config(folder), uri=str(folder / "high" / "train-*.jsonl"))


def mapped(folder: Path) -> DataConfig:
    return _changed(config(folder), files={"train": "train.jsonl", "validation": "validation.jsonl"})


def generated(folder: Path) -> DataConfig:
    sources = [{"task": task, "uri": "demo", "rows": {"train": 30, "validation": 9}} for task in ("mcq", "summarize")]
    return DataConfig.model_validate({"sources": sources, "max_target_tokens": 1024})


def _changed(data: DataConfig, **its: Any) -> DataConfig:
    values = data.model_dump()
    values["sources"][0] |= its
    return DataConfig.model_validate(values)


@pytest.mark.parametrize("make", [plain, packed, limited, archived, matched, mapped, generated])
def test_the_same_bytes(make: Callable[[Path], DataConfig], folder: Path, tmp_path: Path, elsewhere: Path) -> None:
    data = make(folder)
    alone = prepared(data, tmp_path / "one")
    assert prepared(data, tmp_path / "two", runner=nullcontext(Apart(3))) == alone
    assert list((elsewhere / "scratch").glob("work-*")) == [], "nothing is left on the other machine"


def test_a_bad_file_is_the_same_error(folder: Path, tmp_path: Path, elsewhere: Path) -> None:
    rows = [{"article": "x"}]
    write_jsonl(folder / "news" / "train.jsonl", rows)
    found = []
    for name, its in {"one": {}, "two": {"runner": nullcontext(Apart(3))}}.items():
        with pytest.raises(DataError, match="no column 'highlights'") as caught:
            prepared(config(folder), tmp_path / name, **its)
        found.append(caught.value.to_dict())
    assert found[0] == found[1]
