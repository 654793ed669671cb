"""Older objects put back in the place of newer ones; pulls while champions change."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mtl.errors import DamageError, MtlError
from mtl.release.aliases import MemoryAliases
from mtl.release.journal import read_journal
from mtl.release.layout import ReleaseManifest
from mtl.release.promote import promote, rollback
from mtl.release.pull import pull, verify_folder
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from tests.release.toy import MODEL, publish_toy

LOG = f"releases/{MODEL}/log/"
LAST_ENTRY = f"releases/{MODEL}/last-entry.json"


class Recording(MemoryStore):
    """Remembers every content that a key ever had."""

    def __init__(self) -> None:
        super().__init__(after=self._remember)
        self.contents: dict[str, list[bytes]] = {}

    def _remember(self, operation: str, key: str) -> None:
        if operation.startswith("put"):
            self.after, kept = lambda *_: None, self.after
            data = self.get(key)
            self.after = kept
            found = self.contents.setdefault(key, [])
            if data not in found:
                found.append(data)


@cache
def _life() -> Recording:
    """Two releases, both promoted, the second rolled back: champion is the first."""
    store, aliases = Recording(), MemoryAliases()
    with TemporaryDirectory() as folder:
        for version, before in ((1, None), (2, 1)):
            publish_toy(store, Path(folder), version)
            promote(store, version, model=MODEL, expected=before, reason="better", actor="gate", aliases=aliases)
    rollback(store, model=MODEL, reason="worse", actor="ann", aliases=aliases)
    return store


def _copy() -> MemoryStore:
    store = MemoryStore()
    for info in _life().list(""):
        store.put(info.key, _life().get(info.key))
    return store


def test_one_object_alone_is_written_with_another_content() -> None:
    """So there is no older version of any other one to put back, but in the place of another one."""
    assert {key: len(found) for key, found in _life().contents.items() if len(found) > 1} == {LAST_ENTRY: 3}


@pytest.mark.parametrize("number", range(3))
def test_an_older_note_of_the_last_entry_changes_no_champion(number: int) -> None:
    """It is a lower bound: an older one says less, not something else."""
    store = _copy()
    store.put(LAST_ENTRY, _life().contents[LAST_ENTRY][number])
    assert read_journal(store, MODEL).champion == 1


def _pairs() -> list[tuple[str, str]]:
    """(place, another object of its kind)."""
    kinds: dict[str, list[str]] = {}
    for key in (info.key for info in _life().list("")):
        kinds.setdefault("log" if key.startswith(LOG) else key.rpartition("/")[2], []).append(key)
    return [(place, other) for keys in kinds.values() for place in keys for other in keys if place != other]


@pytest.mark.parametrize(("place", "other"), _pairs())
def test_an_object_in_the_place_of_another_changes_no_champion(place: str, other: str, tmp_path: Path) -> None:
    store = _copy()
    store.put(place, store.get(other))
    if place.startswith(LOG):
        with pytest.raises(DamageError, match="was written as another entry"):
            read_journal(store, MODEL)
    try:
        manifest = pull(store, "champion", tmp_path / "out", model=MODEL)
    except MtlError:
        return
    assert manifest.version == 1
    assert verify_folder(tmp_path / "out") == manifest
    assert (tmp_path / "out" / "adapter_model.safetensors").read_bytes() == b"weights 1"


def test_pulls_while_champions_change_are_each_one_release(tmp_path: Path) -> None:
    """Each into a folder of its own, and one after the other into one folder."""
    store, aliases = FolderStore(tmp_path / "store"), MemoryAliases()
    last, over = 8, threading.Event()
    for version in range(1, last + 1):
        publish_toy(store, tmp_path / "made", version)
    promote(store, 1, model=MODEL, expected=None, reason="better", actor="gate", aliases=aliases)

    def promotions() -> None:
        for version in range(2, last + 1):
            promote(store, version, model=MODEL, expected=version - 1, reason="better", actor="gate", aliases=aliases)

    def pulls(name: str) -> list[ReleaseManifest]:
        found: list[ReleaseManifest] = []
        while not over.is_set() or not found:
            folder = tmp_path / name / str(len(found))
            found.append(pull(store, "champion", folder, model=MODEL))
            assert verify_folder(folder) == found[-1]
            pull(store, "champion", tmp_path / name / "same", model=MODEL)
            verify_folder(tmp_path / name / "same")
        return found

    with ThreadPoolExecutor(3) as pool:
        pullers = [pool.submit(pulls, name) for name in ("a", "b")]
        try:
            pool.submit(promotions).result()
        finally:
            over.set()
        for puller in pullers:
            versions = [manifest.version for manifest in puller.result()]
            assert versions == sorted(versions)
    assert pull(store, "champion", tmp_path / "a" / "same", model=MODEL).version == last


def test_two_releases_into_one_folder_at_once_do_not_mix(tmp_path: Path) -> None:
    """The second begins, and would be done, before the first has its last file."""
    store, out = MemoryStore(), tmp_path / "out"
    for version in (1, 2):
        publish_toy(store, tmp_path / "made", version)
    others: list[threading.Thread] = []

    def begin_another(operation: str, key: str) -> None:
        if operation == "get_file" and key.endswith("v1/tokenizer.json") and not others:
            others.append(threading.Thread(target=pull, args=(store, "v2", out), kwargs={"model": MODEL}))
            others[0].start()
            others[0].join(1.0)

    store.before = begin_another
    pull(store, "v1", out, model=MODEL)
    others[0].join()
    manifest = verify_folder(out)
    assert manifest.version == 2
    assert {path.name for path in out.iterdir()} == {file.path for file in manifest.files} | {"manifest.json"}
