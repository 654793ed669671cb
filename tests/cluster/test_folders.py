"""Folders that were sent, on a machine of the cluster: made once, and removed when nobody uses them any more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import pytest

from mtl.cluster.folders import KEPT_SECONDS, SentFolder, receive, send

ray = pytest.importorskip("ray")


@pytest.fixture(autouse=True)
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store of Ray's in which a reference is the object."""
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(ray, "get", _itself)


def _itself(data: Any) -> Any:
    return data


def sent(folder: Path, text: str) -> SentFolder:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(text)
    return send(SimpleNamespace(put=_itself), {"base/config.json": folder / "config.json"})


def test_a_folder_that_was_not_used_for_a_day_makes_way(tmp_path: Path) -> None:
    old, used, new = (sent(tmp_path / "model", text) for text in "abc")
    folders = [receive(its) for its in (old, used)]
    for folder in folders:
        os.utime(folder, (0, time.time() - KEPT_SECONDS - 60))
    assert receive(used) == folders[1]
    folders.append(receive(new))
    assert [folder.exists() for folder in folders] == [False, True, True]
    assert (receive(old) / "base" / "config.json").read_text() == "a"


def test_workers_that_ask_at_the_same_time_get_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one of them made it again, it would take it away from another that is loading it."""
    its, made = sent(tmp_path / "model", "a"), []

    def fetch(data: Any) -> Any:
        made.append(data)
        time.sleep(0.2)  # time for the others to come
        return data

    monkeypatch.setattr(ray, "get", fetch)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(_after(Barrier(4), its), range(4)))
    assert len(set(found)) == len(made) == 1


def _after(barrier: Barrier, its: SentFolder) -> Callable[[int], Path]:
    def ask(_: int) -> Path:
        barrier.wait()
        return receive(its)

    return ask
