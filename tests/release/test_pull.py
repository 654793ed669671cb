"""A pulled folder is the release, whole, or not there yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.errors import DamageError, InputError, NotFoundError
from mtl.release.aliases import MemoryAliases
from mtl.release.layout import find_manifest
from mtl.release.promote import promote, rollback
from mtl.release.pull import pull, resolve_version, verify_folder
from mtl.release.refs import resolve_ref
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy, toy_adapter


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    store, aliases = MemoryStore(), MemoryAliases()
    for version in (1, 2, 3):
        publish_toy(store, tmp_path / "made", version)
    for version, expected in ((1, None), (2, 1)):
        promote(store, version, model=MODEL, expected=expected, reason="better", actor="gate", aliases=aliases)
    return store


@pytest.mark.parametrize(("ref", "version"), [("champion", 2), ("previous", 1), ("candidate", 3), ("v1", 1), ("3", 3)])
def test_refs(store: MemoryStore, ref: str, version: int) -> None:
    assert resolve_version(store, ref, model=MODEL) == version


def test_an_unknown_ref_says_what_there_is(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no release 'champoin' of toy; did you mean 'champion'"):
        resolve_version(store, "champoin", model=MODEL)
    with pytest.raises(NotFoundError, match=r"no release v9 of toy(.|\n)*known: v1, v2, v3"):
        pull(store, "v9", tmp_path / "out", model=MODEL)
    with pytest.raises(NotFoundError, match=r"other has no champion yet(.|\n)*nothing of other .* but of toy"):
        pull(store, "champion", tmp_path / "out", model="other")
    assert not (tmp_path / "out").exists()


def test_pull_and_pull_again(store: MemoryStore, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    manifest = pull(store, "champion", tmp_path / "out", model=MODEL, progress=lambda *args: seen.append(args))
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == b"weights 2"
    assert verify_folder(tmp_path / "out") == manifest
    assert seen[-1][1] == seen[-1][2] == sum(file.bytes for file in manifest.files)
    fetched: list[str] = []
    store.before = lambda operation, key: fetched.append(key) if operation == "get_file" else None
    pull(store, "champion", tmp_path / "out", model=MODEL)
    assert fetched == []


@pytest.mark.parametrize("files", range(6))
def test_cut_off_anywhere_it_goes_on(store: MemoryStore, tmp_path: Path, files: int) -> None:
    fetched: list[str] = []

    def cut(operation: str, key: str) -> None:
        if operation == "get_file":
            if len(fetched) == files:
                raise ConnectionError
            fetched.append(key)

    store.before = cut
    with pytest.raises(ConnectionError):
        pull(store, "champion", tmp_path / "out", model=MODEL)
    assert not (tmp_path / "out" / "manifest.json").exists()
    store.before = lambda operation, key: fetched.append(key) if operation == "get_file" else None
    manifest = pull(store, "champion", tmp_path / "out", model=MODEL)
    assert len(fetched) == len(set(fetched)) == len(manifest.files)
    assert verify_folder(tmp_path / "out") == manifest


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "README.md", "manifest.json"])
def test_a_flipped_byte_in_the_store_is_refused_with_the_file_s_name(
    store: MemoryStore, tmp_path: Path, name: str
) -> None:
    key = f"releases/toy/v2/{name}"
    data = bytearray(store.get(key))
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))
    with pytest.raises(DamageError, match=key):
        pull(store, "champion", tmp_path / "out", model=MODEL)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / name).exists()


def test_a_missing_file_is_named(store: MemoryStore, tmp_path: Path) -> None:
    store.delete("releases/toy/v2/tokenizer.json")
    with pytest.raises(DamageError, match=r"v2/tokenizer\.json is missing"):
        pull(store, "champion", tmp_path / "out", model=MODEL)


def test_a_manifest_exchanged_after_promotion_is_refused(store: MemoryStore, tmp_path: Path) -> None:
    store.delete("releases/toy/v2/manifest.json")
    publish_toy(store, tmp_path / "evil", 2, weights=b"other weights")
    with pytest.raises(DamageError, match="is not the manifest that was promoted"):
        pull(store, "champion", tmp_path / "out", model=MODEL)


def test_files_spoiled_here_are_fetched_again(store: MemoryStore, tmp_path: Path) -> None:
    pull(store, "v1", tmp_path / "out", model=MODEL)
    (tmp_path / "out" / "tokenizer.json").write_text("[]")
    with pytest.raises(DamageError, match=r"tokenizer\.json is damaged"):
        verify_folder(tmp_path / "out")
    pull(store, "v1", tmp_path / "out", model=MODEL)
    verify_folder(tmp_path / "out")


def test_another_release_replaces_the_one_that_was_there(store: MemoryStore, tmp_path: Path) -> None:
    pull(store, "v1", tmp_path / "out", model=MODEL)
    manifest = find_manifest(store, MODEL, 3)
    assert manifest is not None
    pull(store, "v3", tmp_path / "out", model=MODEL)
    assert verify_folder(tmp_path / "out").version == 3
    assert {p.name for p in (tmp_path / "out").iterdir()} == {f.path for f in manifest.files} | {"manifest.json"}


def test_a_folder_that_holds_something_else_is_left_alone(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "README.md").write_text("mine")
    with pytest.raises(InputError, match="holds something that is no release"):
        pull(store, "v1", tmp_path / "home", model=MODEL)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        pull(store, "v1", tmp_path / "file", model=MODEL)
    assert (tmp_path / "home" / "README.md").read_text() == "mine"


def test_from_a_folder_store(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    publish_toy(store, tmp_path / "made", 1)
    pull(store, "candidate", tmp_path / "out", model=MODEL)
    verify_folder(tmp_path / "out")


def test_a_folder_without_a_release(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="holds no release"):
        verify_folder(tmp_path)


class Runs:
    """A registry in which one run made version 1."""

    def version_of_run(self, run_id: str) -> int | None:
        return 1 if run_id == "1" * 32 else None


def test_resolve_ref(store: MemoryStore, tmp_path: Path) -> None:
    def resolve(ref: str) -> tuple[str, int | None]:
        found = resolve_ref(ref, store=store, model=MODEL, cache=tmp_path / "cache", versions=Runs())
        return (found.folder / "adapter_model.safetensors").read_bytes().decode(), found.version

    assert resolve("champion") == ("weights 2", 2)
    rollback(store, model=MODEL, reason="bad", actor="ann", aliases=MemoryAliases())
    assert resolve("champion") == ("weights 1", 1)
    assert resolve("1" * 32) == ("weights 1", 1)
    assert resolve(str(toy_adapter(tmp_path / "mine"))) == ("weights", None)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("2" * 32, "has registered no version"),
        ("./nothing", "no folder ./nothing"),
        ("canditate", "did you mean 'candidate'"),
        ("../../no-such-place", "no folder"),
    ],
)
def test_a_ref_that_is_nothing(store: MemoryStore, tmp_path: Path, ref: str, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        resolve_ref(ref, store=store, model=MODEL, cache=tmp_path / "cache", versions=Runs())


def test_a_folder_without_an_adapter(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"holds no adapter: it has no adapter_model\.safetensors"):
        resolve_ref(str(tmp_path / "empty"), store=store, model=MODEL, cache=tmp_path)
