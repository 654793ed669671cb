"""Preparing looks at what the champion was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.chain import learn
from mtl.config.retrain import RetrainConfig
from mtl.errors import DataError
from mtl.release.aliases import MemoryAliases
from mtl.release.layout import ReleaseFacts
from mtl.release.promote import promote
from mtl.release.publish import publish
from mtl.store.folder import FolderStore
from tests.release.toy import MODEL, toy_adapter


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTL_HOME", str(tmp_path))
    monkeypatch.delenv("MTL_STORE", raising=False)
    return tmp_path


def config(rows: int, **data: Any) -> RetrainConfig:
    source = {"task": "summarize", "uri": "demo", "rows": {"train": rows, "validation": 5}}
    return RetrainConfig.model_validate(
        {"name": "x", "model": {"base": "demo"}, "data": {"sources": [source], **data}, "register": {"model": MODEL}}
    )


def crown(home: Path, fingerprint: str) -> FolderStore:
    """A champion that was trained on this data set."""
    store = FolderStore(str(home / "store"))
    facts = ReleaseFacts(identity="a" * 64, fingerprint=fingerprint, code_version="1")
    publish(store, toy_adapter(home / "toy"), model=MODEL, version=1, facts=facts, documents={})
    promote(store, 1, model=MODEL, expected=None, aliases=MemoryAliases(), reason="first", actor="test")
    return store


def test_a_source_that_shrank_since_the_champions_data_stops_the_run(home: Path) -> None:
    large = learn.prepare(config(60))["fingerprint"]
    assert learn.prepare(config(12)), "without a champion there is nothing to compare with"
    crown(home, large)
    with pytest.raises(DataError) as caught:
        learn.prepare(config(12))
    assert caught.value.message == (
        "source demo of summarize shrank: 17 rows, the champion's data had 65 "
        f"(73.8% fewer, allowed 50.0%; data set {large[:12]})"
    )
    assert learn.prepare(config(12, max_shrink=0.9))["counts"]["summarize"]["train"]["rows"] == 12
    assert learn.prepare(config(40))


def test_a_champion_whose_data_are_gone_is_no_hindrance(home: Path) -> None:
    store = crown(home, "f" * 64)
    assert learn.prepare(config(12))
    for info in list(store.list("releases/toy/v1/")):
        store.delete(info.key)
    assert learn.prepare(config(13))
