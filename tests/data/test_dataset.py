from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from mtl.data.dataset import open_dataset
from mtl.data.manifest import DatasetManifest, load_manifest
from mtl.errors import DamageError, InputError, NotFoundError
from mtl.store.memory import MemoryStore
from tests.data.conftest import config
from tests.support.words import word_tokenizer

Run = Callable[..., DatasetManifest]


@pytest.fixture
def manifest(folder: Path, run: Run) -> DatasetManifest:
    return run(config(folder, shard_rows=4))


def test_examples_and_table_agree(manifest: DatasetManifest, store: MemoryStore, tmp_path: Path) -> None:
    data = open_dataset(store, manifest.fingerprint, tmp_path / "elsewhere")
    backend = word_tokenizer().backend_tokenizer
    for task, splits in manifest.counts.items():
        for split, counts in splits.items():
            table, examples = data.table(task, split), list(data.examples(task, split))
            assert table.num_rows == len(examples) == counts.examples
            assert table.schema.field("labels").type == pa.list_(pa.int32())
            assert table.column("uid").to_pylist() == [example.uid for example in examples]
            assert len({example.uid for example in examples}) == len(examples)
            assert table.column("labels").to_pylist() == [backend.encode(example.targets).ids for example in examples]
            assert {example.task for example in examples} == {task}
    assert manifest.sizes("validation") == {"mcq": 2, "summarize": 2}


def test_a_damaged_copy_is_fetched_again(manifest: DatasetManifest, store: MemoryStore, tmp_path: Path) -> None:
    data = open_dataset(store, manifest.fingerprint, tmp_path)
    table = data.table("mcq", "validation")
    (path,) = tmp_path.glob("datasets/*/mcq-validation-0.parquet")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"x")
    assert data.table("mcq", "validation") == table
    assert path.read_bytes() == good


def test_a_damaged_object_is_never_read(manifest: DatasetManifest, store: MemoryStore, tmp_path: Path) -> None:
    key = f"datasets/{manifest.fingerprint}/mcq-validation-0.parquet"
    store.put(key, store.get(key)[:-1] + b"x")
    data = open_dataset(store, manifest.fingerprint, tmp_path)
    with pytest.raises(
        DamageError, match=r"mcq-validation-0.parquet of data set .{12} is not what was written\n  remove"
    ):
        data.table("mcq", "validation")
    assert not list(tmp_path.glob("datasets/*/mcq-validation-0.parquet"))


def test_what_is_not_there_says_what_is(manifest: DatasetManifest, store: MemoryStore, tmp_path: Path) -> None:
    data = open_dataset(store, manifest.fingerprint, tmp_path)
    with pytest.raises(NotFoundError, match=r"has no task 'mqc'\n  did you mean 'mcq'\?"):
        data.table("mqc", "train")
    with pytest.raises(
        NotFoundError, match=r"no test examples of mcq\n  it has train, validation; data: {holdout: {test: 0.1}}"
    ):
        data.table("mcq", "test")
    with pytest.raises(NotFoundError, match=f"no data set {'0' * 12} in memory:\n  known: {manifest.fingerprint[:12]}"):
        open_dataset(store, "0" * 64, tmp_path)
    with pytest.raises(InputError, match=r"not a fingerprint: '../x'"):
        open_dataset(store, "../x", tmp_path)


def test_a_manifest_that_does_not_add_up_is_damage(manifest: DatasetManifest) -> None:
    assert load_manifest(manifest.to_json()) == manifest
    for damaged in (manifest.to_json()[:-5], manifest.to_json().replace(b'"rows":12', b'"rows":11'), b"{}"):
        with pytest.raises(DamageError, match=r"manifest.json is damaged"):
            load_manifest(damaged)
