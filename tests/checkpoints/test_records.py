"""Log entries, manifests and what else is kept of a run, whoever wrote it: an MtlError or what it says, no more."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.checkpoints.fetch import load_manifest
from mtl.checkpoints.policies import REQUIRED_FILES
from mtl.checkpoints.prune import plan_prune
from mtl.checkpoints.records import FileRecord, Manifest, commit_of, read_manifest
from mtl.checkpoints.related import Lineage, all_runs, find_run, keep_lineage, load_identity, read_lineage
from mtl.checkpoints.state import read_state
from mtl.checkpoints.verify import verify_run
from mtl.errors import DamageError, MtlError
from mtl.fingerprint import sha256_bytes
from mtl.store.memory import MemoryStore
from tests.support.checkpoints import checkpoint_folder, contents, identity
from tests.support.mutations import damaged, fuzz, seal, tree

RUN = identity()
ID = RUN.sha256
ENTRY = f"runs/{ID}/log/000000000003.json"
STEPS = (10, 20)


@cache
def _objects() -> dict[str, bytes]:
    """A run with commits at 10 and 20: entries 1 (acquire), 2 and 3."""
    store = MemoryStore()
    checkpoints = CheckpointStore(store, RUN, "a")
    checkpoints.acquire()
    with TemporaryDirectory() as folder:
        for step in STEPS:
            checkpoints.commit(step, checkpoint_folder(Path(folder), step))
    keep_lineage(store, ID, Lineage("a" * 64, 5, ("threads",)))
    return {info.key: store.get(info.key) for info in store.list("")}


def run(**replaced: bytes) -> MemoryStore:
    store = MemoryStore()
    for key, data in (_objects() | replaced).items():
        store.put(key, data)
    return store


def manifest_of(step: int) -> str:
    return next(key for key in _objects() if f"/manifests/{step}-" in key)


def use(store: MemoryStore) -> None:
    """Everything that reads a run; a restore gives all files as its manifest has them, and none beside their folder."""
    read_state(store, ID)
    verify_run(store, ID)
    list(all_runs(store))
    plan_prune(store, now=store.clock() + 10**6)
    with TemporaryDirectory() as folder:
        (Path(folder) / "mine").write_bytes(b"mine")
        restored = CheckpointStore(store, RUN, "b").restore(Path(folder) / "out")
        if restored is not None:
            named = {file.name: file.sha256 for file in load_manifest(store, ID, restored.commit).files}
            assert {name: sha256_bytes(data) for name, data in contents(restored.folder).items()} == named
            assert named.keys() == REQUIRED_FILES
        assert {path for path in tree(Path(folder)) if not path.startswith("out")} == {"mine"}
    CheckpointStore(store, RUN, "b").acquire()


@given(damaged(json.loads(_objects()[ENTRY]), sealed=True))
@fuzz(30)
def test_any_log_entry(data: bytes) -> None:
    with suppress(MtlError):
        use(run(**{ENTRY: data}))


def swapped() -> bytes:
    """A manifest of step 20 that names the content of its scheduler's file for its optimizer's."""
    manifest = json.loads(_objects()[manifest_of(20)])
    files = {file["name"]: file for file in manifest["files"]}
    files["optimizer.pt"] |= {name: files["scheduler.pt"][name] for name in ("bytes", "sha256")}
    return json.dumps(manifest).encode()


@given(damaged(json.loads(_objects()[manifest_of(20)])))
@example(swapped())
@fuzz(30)
def test_any_manifest(data: bytes) -> None:
    """Under its right hash, as one who can write into the store would have it."""
    entry = json.loads(_objects()[ENTRY])
    name = f"manifests/20-{sha256_bytes(data)}.json"
    entry["commits"][1] |= {"sha256": sha256_bytes(data), "manifest": name}
    with suppress(MtlError):
        use(run(**{ENTRY: json.dumps(seal(entry)).encode(), f"runs/{ID}/{name}": data}))


@given(damaged(json.loads(_objects()[f"runs/{ID}/lineage.json"]), sealed=True))
@fuzz(60)
def test_any_lineage(data: bytes) -> None:
    try:
        lineage = read_lineage(run(**{f"runs/{ID}/lineage.json": data}), ID)
    except MtlError:
        return
    assert lineage is not None
    assert len(lineage.source) == 64


@given(damaged(json.loads(_objects()[f"runs/{ID}/identity.json"])))
@fuzz(60)
def test_any_identity(data: bytes) -> None:
    store = run(**{key: data for key in _objects() if key.endswith((f"/{ID}.json", "/identity.json"))})
    with suppress(MtlError):
        load_identity(store, ID)
    with suppress(MtlError):
        find_run(store, ID[:8])


@pytest.mark.parametrize("value", ["../../../outside", "/outside", "f" * 63, None, 7, ["f" * 64]])
@pytest.mark.parametrize("field", ["manifest", "sha256"])
def test_a_commit_record_that_leads_elsewhere_is_damage(field: str, value: object) -> None:
    entry = json.loads(_objects()[ENTRY])
    entry["commits"][1][field] = value
    store = run(**{ENTRY: json.dumps(seal(entry)).encode()})
    state = read_state(store, ID)
    assert state.damaged == (ENTRY,)
    assert [commit.step for commit in state.commits] == [10]
    (damage,) = verify_run(store, ID).damage
    assert f"commits.1.{field}: " in damage.problem


@pytest.mark.parametrize(("field", "value"), [("name", "../x"), ("bytes", -1), ("bytes", True), ("sha256", "../x")])
def test_a_manifest_with_a_field_of_another_kind_is_damage(field: str, value: Any) -> None:
    fields: dict[str, Any] = {"name": "a.bin", "bytes": 1, "sha256": "f" * 64, field: value}
    manifest = Manifest(ID, 20, (FileRecord(**fields),))
    with pytest.raises(DamageError, match=rf"is damaged: files\.0\.{field}: .*, got "):
        read_manifest(manifest.to_json(), commit_of(manifest, None), identity=ID)


def test_an_entry_put_back_under_another_number_is_damage() -> None:
    """And so does not rule: the run goes on from the entry before it."""
    later = f"runs/{ID}/log/000000000004.json"
    store = run(**{later: _objects()[f"runs/{ID}/log/000000000002.json"]})
    state = read_state(store, ID)
    assert state.damaged == (later,)
    assert [commit.step for commit in state.commits] == [10, 20]
    (damage,) = verify_run(store, ID).damage
    assert "it was written as another entry" in damage.problem


def test_an_entry_of_another_run_is_damage() -> None:
    """Also one that does not say where it belongs, as older versions wrote them."""
    entry = json.loads(_objects()[ENTRY]) | {"identity": "a" * 64}
    del entry["key"]
    state = read_state(run(**{ENTRY: json.dumps(seal(entry)).encode()}), ID)
    assert state.damaged == (ENTRY,)
    assert [commit.step for commit in state.commits] == [10]


def test_entries_of_older_versions_are_read() -> None:
    entry = json.loads(_objects()[ENTRY])
    del entry["key"]
    assert [commit.step for commit in read_state(run(**{ENTRY: json.dumps(seal(entry)).encode()}), ID).commits] == [
        10,
        20,
    ]


@given(st.sampled_from(sorted(_objects())), st.sampled_from(sorted(_objects())))
@fuzz(20)
def test_any_object_in_the_place_of_another(place: str, other: str) -> None:
    with suppress(MtlError):
        use(run(**{place: _objects()[other]}))
