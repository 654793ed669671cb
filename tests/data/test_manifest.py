"""Manifests of data sets, whoever wrote them: an MtlError or what they say, no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl import layout
from mtl.data.dataset import open_dataset
from mtl.data.explain import explain
from mtl.data.manifest import DatasetManifest, load_manifest
from mtl.errors import DamageError, MtlError
from mtl.seal import seal
from mtl.store.memory import MemoryStore
from tests.data.conftest import config
from tests.support.mutations import damaged, fuzz, tree


@pytest.fixture
def manifest(run: Callable[..., DatasetManifest], folder: Path) -> DatasetManifest:
    return run(config(folder))


@given(st.data())
@fuzz(60)
def test_any_manifest(manifest: DatasetManifest, store: MemoryStore, tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / "root"
    cache = root / "a" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (root / "a" / "outside").write_bytes(b"mine")
    store.put(
        layout.dataset_manifest_key(manifest.fingerprint),
        data.draw(damaged(json.loads(manifest.to_json()), sealed=True)),
    )
    try:
        opened = open_dataset(store, manifest.fingerprint, cache)
        explain(opened)
        for task in opened.manifest.counts:
            for split in ("train", "validation"):
                list(opened.examples(task, split))
                opened.table(task, split)
    except MtlError:
        pass
    finally:
        store.put(layout.dataset_manifest_key(manifest.fingerprint), manifest.to_json())
    assert {path for path in tree(root) if not path.startswith("a/cache")} == {"a", "a/outside"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("path", value) for value in ("../x", "/x", "a/b", "mcq-train-x.parquet", "manifest.json", 7)),
        *(("bytes", value) for value in (-1, "7", True)),
        *(("sha256", value) for value in ("../x", "f" * 63, None)),
    ],
)
def test_files_are_checked(manifest: DatasetManifest, field: str, value: Any) -> None:
    document = manifest.to_dict()
    document["files"][0][field] = value
    with pytest.raises(DamageError, match=rf"manifest\.json is damaged: files\.0\.{field}: .*, got "):
        load_manifest(json.dumps(document).encode())


def test_a_picture_needs_lengths(manifest: DatasetManifest, tmp_path: Path) -> None:
    document = manifest.to_dict()
    document["histograms"]["mcq"]["inputs"] = {"x": 1}
    with pytest.raises(DamageError, match=r"histograms\.mcq\.inputs"):
        load_manifest(seal(document))
