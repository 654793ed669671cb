"""A run's identity, as `mtl train` prints it, stands for its model: published or not, whole or by its beginning."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mtl import layout
from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.identity import RunIdentity
from mtl.checkpoints.policies import REQUIRED_FILES
from mtl.data.manifest import DatasetManifest
from mtl.data.tokens import Encoder
from mtl.errors import InputError, NotFoundError
from mtl.fingerprint import canonical_json, sha256_file
from mtl.model.base import base_sha256, resolve_base
from mtl.model.load import load_spec
from mtl.model.tokenizer import load_tokenizer
from mtl.release.layout import ReleaseFacts
from mtl.release.publish import publish
from mtl.release.refs import LocalModel, resolve_ref
from mtl.serving.generate import load_generator
from mtl.store.memory import MemoryStore
from mtl.tasks.table import get_task
from tests.release.toy import MODEL, toy_adapter
from tests.support.trained import tiny_base, trained_model

DATA = "d" * 64


def finished_run(store: MemoryStore, folder: Path, *, done: bool = True, seed: int = 0) -> RunIdentity:
    """A run in the store whose last commit holds a real adapter."""
    model = {"base": str(tiny_base()), "revision": None, "tokenizer": None}
    fields = {"model": model, "base": base_sha256(resolve_base(model["base"] or "")), "dataset": DATA, "seed": seed}
    identity = RunIdentity.of("mine", fields)
    adapter = trained_model(folder / f"model-{seed}", seed=seed)
    commit = folder / f"commit-{seed}"
    commit.mkdir()
    for name in REQUIRED_FILES:
        source = adapter / name
        shutil.copyfile(source, commit / name) if source.is_file() else (commit / name).write_text(name)
    sha256 = sha256_file(commit / "adapter_model.safetensors")
    checkpoints = CheckpointStore(store, identity, "test")
    checkpoints.acquire()
    checkpoints.commit(3, commit)
    if done:
        checkpoints.finish(3)
        result = {
            "identity": identity.sha256,
            "steps": 3,
            "max_steps": 3,
            "adapter_sha256": sha256,
            "resumed_from": None,
            "bit_exact": True,
            "continued_from": None,
            "tokens_per_second": None,
            "loss": {},
        }
        store.put(f"runs/{identity.sha256}/result.json", canonical_json(result))
    return identity


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    tokenizer = load_tokenizer(str(tiny_base()), [get_task(name).token for name in ("summarize", "mcq")])
    manifest = DatasetManifest(
        fingerprint=DATA,
        sources=[],
        scheme="overlap-1",
        tokenizer={"name": "tiny", "sha256": Encoder(tokenizer).sha256},
        counts={},
        quarantine={},
        truncated={},
        lengths={},
        files=[],
        tasks={"mcq": 2, "summarize": 2},
        settings={"max_input_tokens": 200, "max_target_tokens": 16},
    )
    store.put(layout.dataset_manifest_key(DATA), manifest.to_json())
    return store


def resolve(store: MemoryStore, ref: str, folder: Path) -> LocalModel:
    return resolve_ref(ref, store=store, model=MODEL, cache=folder / "cache")


@pytest.mark.parametrize("length", [64, 12])
def test_a_run_that_nothing_was_published_of_answers(store: MemoryStore, tmp_path: Path, length: int) -> None:
    identity = finished_run(store, tmp_path).sha256
    found = resolve(store, identity[:length], tmp_path)
    assert found.version is None
    spec = load_spec(found.folder)
    assert (spec.max_input_tokens, spec.max_new_tokens) == (200, {"summarize": 16, "mcq": 16})
    (answer,) = load_generator(found.folder).generate(["Ann came to the house."], max_new_tokens=9)
    (same,) = load_generator(tmp_path / "model-0").generate(["Ann came to the house."], max_new_tokens=9)
    assert answer.text == same.text


def test_a_published_run_is_its_version(store: MemoryStore, tmp_path: Path) -> None:
    identity = finished_run(store, tmp_path).sha256
    facts = ReleaseFacts(identity=identity, fingerprint=DATA, code_version="1")
    publish(store, toy_adapter(tmp_path / "toy"), model=MODEL, version=4, facts=facts, documents={})
    assert resolve(store, identity[:12], tmp_path).version == 4


def test_a_beginning_of_several_runs_names_them(store: MemoryStore, tmp_path: Path) -> None:
    first = finished_run(store, tmp_path).sha256
    other = first[:10] + "0" * 54
    publish(
        store,
        toy_adapter(tmp_path / "toy"),
        model=MODEL,
        version=1,
        facts=ReleaseFacts(identity=other, fingerprint=DATA, code_version="1"),
        documents={},
    )
    with pytest.raises(InputError, match=f"{first[:8]} is the beginning of 2 runs: ") as caught:
        resolve(store, first[:8], tmp_path)
    assert first[:16] in caught.value.message and other[:16] in caught.value.message


def test_a_beginning_of_digits_alone_is_a_run(store: MemoryStore, tmp_path: Path) -> None:
    publish(
        store,
        toy_adapter(tmp_path / "toy"),
        model=MODEL,
        version=1,
        facts=ReleaseFacts(identity="283412510967" + "a" * 52, fingerprint=DATA, code_version="1"),
        documents={},
    )
    assert resolve(store, "28341251", tmp_path).version == 1
    assert resolve(store, "283412510967", tmp_path).version == 1
    with pytest.raises(NotFoundError, match="no run 12345678"):
        resolve(store, "12345678", tmp_path)


def test_runs_that_cannot_answer_say_why(store: MemoryStore, tmp_path: Path) -> None:
    unfinished = finished_run(store, tmp_path, done=False).sha256
    with pytest.raises(NotFoundError, match=rf"run {unfinished[:12]} is not finished\n  mtl train"):
        resolve(store, unfinished, tmp_path)
    with pytest.raises(NotFoundError, match=r"no run 123456abcdef\n  mtl checkpoints list and mtl models"):
        resolve(store, "123456abcdef", tmp_path)
    finished = finished_run(store, tmp_path, seed=1).sha256
    store.delete(layout.dataset_manifest_key(DATA))
    with pytest.raises(NotFoundError, match=f"the data set of run {finished[:12]} is gone"):
        resolve(store, finished, tmp_path)
