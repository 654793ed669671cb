"""Preparing looks at what the champion was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.config.retrain import RetrainConfig
from mtl.errors import DataError
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.release.aliases import MemoryAliases
from mtl.release.layout import ReleaseFacts
from mtl.release.promote import promote
from mtl.release.publish import publish
from mtl.store.folder import FolderStore
from mtl.workspace import open_workspace
from tests.release.toy import MODEL, toy_adapter
from tests.support.checkpoints import identity
from tests.support.rows import article, write_jsonl


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


def crown(home: Path, fingerprint: str, *, by: str | None = None) -> FolderStore:
    """A champion that was trained on this data set; `by` names its configuration."""
    store = release(home, fingerprint, version=1, by=by)
    promote(store, 1, model=MODEL, expected=None, aliases=MemoryAliases(), reason="first", actor="test")
    return store


def release(home: Path, fingerprint: str, *, version: int, by: str | None) -> FolderStore:
    store = FolderStore(str(home / "store"))
    run = identity(by or "x", version=version)
    if by:
        store.put(f"runs/{run.sha256}/identity.json", run.to_json())
    facts = ReleaseFacts(identity=run.sha256, fingerprint=fingerprint, code_version="1")
    adapter = toy_adapter(home / f"toy-{version}", weights=b"weights %d" % version)
    publish(store, adapter, model=MODEL, version=version, facts=facts, documents={})
    return store


def own(folder: Path, rows: int, *, name: str = "mine") -> RetrainConfig:
    """A configuration with files of its own."""
    write_jsonl(folder / "train.jsonl", [article(n) for n in range(rows)])
    source = {"task": "summarize", "uri": str(folder / "train.jsonl")}
    return RetrainConfig.model_validate(
        {"name": name, "model": {"base": "demo"}, "data": {"sources": [source]}, "register": {"model": MODEL}}
    )


def test_a_source_that_shrank_since_the_champions_data_stops_the_run(home: Path) -> None:
    large = prepare_dataset(open_workspace(), config(60)).fingerprint
    assert prepare_dataset(open_workspace(), config(12)), "without a champion there is nothing to compare with"
    crown(home, large)
    with pytest.raises(DataError) as caught:
        prepare_dataset(open_workspace(), config(12))
    assert caught.value.message == (
        "source demo of summarize shrank: 17 rows, the last data of this configuration had 65 "
        f"(73.8% fewer, allowed 50.0%; data set {large[:12]})"
    )
    assert (
        prepare_dataset(open_workspace(), config(12, max_shrink=0.9)).manifest.counts["summarize"]["train"].rows == 12
    )
    assert prepare_dataset(open_workspace(), config(40))


def test_a_champion_of_another_configuration_is_no_measure_and_is_told(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crown(home, prepare_dataset(open_workspace(), own(home, 60, name="theirs")).fingerprint, by="theirs")
    assert prepare_dataset(open_workspace(), own(home, 12)).manifest.counts["summarize"]["train"].rows == 12
    (told,) = {record.getMessage() for record in caplog.records if record.name == "mtl.pipeline.reference"}
    assert "v1, the champion of toy, comes from configuration 'theirs', not 'mine'" in told
    assert "register: {model: mtl-mine}" in told


def test_behind_such_a_champion_the_newest_version_of_the_configuration_itself_is_the_measure(home: Path) -> None:
    crown(home, prepare_dataset(open_workspace(), own(home, 60, name="theirs")).fingerprint, by="theirs")
    last = prepare_dataset(open_workspace(), own(home, 40)).fingerprint
    release(home, last, version=2, by="mine")
    release(home, "e" * 64, version=3, by="theirs")
    with pytest.raises(DataError) as caught:
        prepare_dataset(open_workspace(), own(home, 12))
    assert (
        f"12 rows, the last data of this configuration had 40 (70.0% fewer, allowed 50.0%; data set {last[:12]})"
        in (caught.value.message)
    )
    assert "give the configuration another name" in str(caught.value.hint)


def test_generated_rows_are_no_measure_of_own_ones_whatever_the_configuration_is_called(home: Path) -> None:
    crown(home, prepare_dataset(open_workspace(), config(60)).fingerprint, by="x")
    assert prepare_dataset(open_workspace(), own(home, 12, name="x")).manifest.counts["summarize"]["train"].rows == 12


def test_a_champion_whose_data_are_gone_is_no_hindrance(home: Path) -> None:
    store = crown(home, "f" * 64)
    assert prepare_dataset(open_workspace(), config(12))
    for info in list(store.list("releases/toy/v1/")):
        store.delete(info.key)
    assert prepare_dataset(open_workspace(), config(13))
