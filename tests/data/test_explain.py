from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.data.dataset import open_dataset, resolve_fingerprint
from mtl.data.explain import explain
from mtl.data.histogram import lengths_png, write_pages
from mtl.data.manifest import DatasetManifest, load_manifest
from mtl.errors import InputError
from mtl.store.memory import MemoryStore
from tests.data.conftest import config, race_rows, write_race

Run = Callable[..., DatasetManifest]


def test_a_data_set_in_words(folder: Path, run: Run, store: MemoryStore, tmp_path: Path) -> None:
    rows = race_rows()["train"]
    write_race(folder / "race", train=[*rows, {**rows[0], "answer": "E"}])
    manifest = run(config(folder))
    text = explain(open_dataset(store, manifest.fingerprint, tmp_path))
    assert manifest.fingerprint in text
    assert f"mcq        from {folder / 'race'} (train 13, validation 3 rows" in text
    assert "train            13 rows = 6 kept + 6 merged + 1 quarantined ->" in text
    assert "Easy 6 (50%), Medium 6 (50%)" in text
    assert "      1  answer outside A-D" in text
    for head in ("an example of mcq, Easy", "an example of mcq, Medium", "an example of summarize"):
        assert head in text
    assert "inputs:  <mcq> " in text and "targets: MCQs: 1. Question: " in text and "targets: Summary: " in text


def test_a_shortened_fingerprint_is_enough(folder: Path, run: Run, store: MemoryStore) -> None:
    first, second = run(config(folder)).fingerprint, run(config(folder), seed=6).fingerprint
    assert resolve_fingerprint(store, first[:12]) == first
    assert resolve_fingerprint(store, "../x") == "../x"
    store.put(f"datasets/{first[:4]}{'0' * 60}/manifest.json", b"{}")
    with pytest.raises(InputError, match=f"'{first[:4]}' is the beginning of 2 data sets"):
        resolve_fingerprint(store, first[:4])
    assert second != first


def test_lengths_as_a_picture_beside_the_manifest(folder: Path, run: Run, tmp_path: Path) -> None:
    manifest = run(config(folder))
    bars = manifest.histograms["mcq"]["inputs"]
    assert sum(bars.values()) == sum(its.examples for its in manifest.counts["mcq"].values())
    assert all(int(start) % 16 == 0 for start in bars)
    pages = tmp_path / "pages"
    pages.mkdir()
    write_pages(manifest, pages)
    assert (pages / "lengths.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert load_manifest((pages / "manifest.json").read_bytes()) == manifest
    assert lengths_png(manifest.model_copy(update={"histograms": {}}))[:4] == b"\x89PNG"
