"""`mtl checkpoints`: what there is, whether every byte is right, what would go."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from mtl.checkpoints.checkpoint_store import CheckpointStore
from mtl.cli.main import run
from mtl.fingerprint import sha256_bytes
from mtl.layout import blob_key
from mtl.store.folder import FolderStore
from tests.support.checkpoints import checkpoint_files, checkpoint_folder, identity

RUN = identity()


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    """A store with one run of two commits."""
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MTL_STORE", str(tmp_path / "store"))
    store = FolderStore(tmp_path / "store")
    checkpoints = CheckpointStore(store, RUN, "machine-1")
    checkpoints.acquire()
    for step in (10, 20):
        checkpoints.commit(step, checkpoint_folder(tmp_path, step))
    return store


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = run(["checkpoints", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_list_names_the_time_zone_of_its_times(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert run(["checkpoints", "list"]) == 0
    assert re.search(r" \d\d:\d\d JST +machine-1", capsys.readouterr().out)
    monkeypatch.undo()
    time.tzset()


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = answer(capsys, "list")
    assert code == 0
    (found,) = document["runs"]
    assert (found["identity"], found["steps"], found["finished"]) == (RUN.sha256, [10, 20], False)
    assert run(["checkpoints", "list", "--run", RUN.sha256[:6]]) == 0
    said = capsys.readouterr().out
    assert f"{RUN.sha256[:12]}  demo" in said
    assert "machine-1" in said


def test_verify_is_silent_about_what_is_right_and_names_what_is_not(
    capsys: pytest.CaptureFixture[str], store: FolderStore
) -> None:
    assert answer(capsys, "verify")[0] == 0
    key = blob_key(RUN.sha256, sha256_bytes(checkpoint_files(20)["optimizer.pt"]))
    data = bytearray(store.get(key))
    data[7] ^= 4
    store.put(key, bytes(data))
    code, document = answer(capsys, "verify")
    assert (code, document["intact"], document["error"]["field"]) == (1, False, key)
    assert run(["checkpoints", "verify"]) == 1
    said = capsys.readouterr().err
    assert "step 20: optimizer.pt: its sha256 is not that of the commit" in said
    assert key in said


def test_verify_of_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = answer(capsys, "verify", "--run", "beef")
    assert (code, document["error"]["kind"]) == (2, "not_found")


def test_prune_deletes_only_when_told_to(capsys: pytest.CaptureFixture[str], store: FolderStore) -> None:
    code, document = answer(capsys, "prune")
    assert (code, document["objects"], document["dry_run"]) == (0, [], True)
    before = [info.key for info in store.list("")]
    _, plan = answer(capsys, "prune", "--run", RUN.sha256[:8])
    assert plan["objects"]
    assert [info.key for info in store.list("")] == before
    _, done = answer(capsys, "prune", "--run", RUN.sha256[:8], "--yes")
    assert done["deleted"] == len(plan["objects"])
    assert list(store.list("")) == []
