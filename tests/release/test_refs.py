"""A model that is asked for by name or folder is what was released, to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.errors import DamageError, NotFoundError
from mtl.model.folder import seal_folder
from mtl.release.pull import pull
from mtl.release.refs import check_model_folder, resolve_ref
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy, toy_adapter


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    store = MemoryStore()
    publish_toy(store, tmp_path, 1)
    return store


def resolve(store: MemoryStore, ref: str, tmp_path: Path) -> Path:
    return resolve_ref(ref, store=store, model=MODEL, cache=tmp_path / "cache").folder


@pytest.fixture
def pulled(store: MemoryStore, tmp_path: Path) -> Path:
    pull(store, "v1", tmp_path / "pulled", model=MODEL)
    return tmp_path / "pulled"


def test_a_pulled_folder_is_used_as_it_is(store: MemoryStore, pulled: Path, tmp_path: Path) -> None:
    (pulled / "notes.md").write_text("mine")
    assert resolve(store, str(pulled), tmp_path) == pulled


def one_digit(path: Path) -> None:
    path.write_text(path.read_text().replace("abc123", "abc124"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda at: one_digit(at / "adapter_config.json"), r"adapter_config.json is damaged: its sha256 is not the"),
        (lambda at: (at / "tokenizer.json").write_text("{ }"), r"tokenizer.json is damaged"),
        (lambda at: (at / "mtl_model.json").unlink(), r"mtl_model.json is damaged"),
        (lambda at: (at / "manifest.json").write_text(""), r"manifest.json is damaged"),
        (lambda at: (at / "added_tokens.json").write_text("{}"), r"added_tokens.json is no file of the release"),
    ],
)
def test_one_that_was_changed_is_refused_by_name(
    store: MemoryStore, pulled: Path, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(pulled)
    with pytest.raises(DamageError, match=words) as caught:
        resolve(store, str(pulled), tmp_path)
    assert caught.value.hint


def test_what_rotted_in_the_cache_is_pulled_again_and_strangers_are_removed(store: MemoryStore, tmp_path: Path) -> None:
    folder = resolve(store, "v1", tmp_path)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    one_digit(folder / "adapter_config.json")
    (folder / "added_tokens.json").write_text("{}")
    assert resolve(store, "v1", tmp_path) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_an_exported_folder_is_compared_with_its_hashes(tmp_path: Path) -> None:
    folder = toy_adapter(tmp_path / "exported")
    assert check_model_folder(folder) == folder  # nothing says what it should be
    seal_folder(folder, {})
    assert check_model_folder(folder) == folder
    (folder / "adapter_config.json").write_text(json.dumps({"lora_alpha": 1}))
    with pytest.raises(DamageError, match=r"adapter_config.json is damaged"):
        check_model_folder(folder)


def test_a_folder_without_an_adapter_is_none(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no adapter"):
        resolve(store, str(tmp_path), tmp_path)
