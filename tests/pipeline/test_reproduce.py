"""`mtl reproduce`: bit-equal, or what differs and from which step on; the workspace stays as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from mtl.cli.main import run as mtl
from mtl.config.retrain import parse_config
from mtl.fingerprint import sha256_file
from mtl.pipeline.evaluate import evaluate
from mtl.pipeline.prepare import prepare
from mtl.pipeline.register import register
from mtl.pipeline.train import train
from mtl.registry.memory import MemoryRegistry
from mtl.release.layout import read_manifest
from mtl.release.publish import publish
from mtl.settings import load_settings
from mtl.store.open import open_store
from mtl.tracking.memory import MemoryTracker
from mtl.workspace import Workspace
from tests.support.bases import save_base
from tests.support.retrains import small_values
from tests.support.rows import article, write_jsonl

MODEL = "mtl-flan-t5"


@dataclass(frozen=True)
class Place:
    """A home with a released version, and what it was made from."""

    home: Path
    news: Path
    base: Path

    @property
    def store(self) -> Path:
        return self.home / "store"

    def files(self) -> dict[str, str]:
        """Every file of the home by its hash, but for those of `mtl reproduce` itself."""
        paths = (path for path in self.home.rglob("*") if path.is_file() and "reproduce" not in path.parts)
        return {path.relative_to(self.home).as_posix(): sha256_file(path) for path in paths}


def write_news(folder: Path, first: str = "Town 0 opens school .") -> Path:
    """40 articles to train on; `first` is the summary of the first one."""
    rows = [article(n) for n in range(44)]
    rows[0]["highlights"] = first
    write_jsonl(folder / "train.jsonl", rows[:40])
    write_jsonl(folder / "validation.jsonl", rows[40:])
    return folder


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("released")
    place = Place(folder / "home", write_news(folder / "news"), save_base(folder / "base"))
    values = small_values(place.base)
    values["data"]["sources"][0] = {"task": "summarize", "uri": str(place.news)}
    config, settings = parse_config(values), load_settings({"MTL_HOME": str(place.home)})
    registry = MemoryRegistry(MODEL)
    workspace = Workspace(settings, open_store(settings.store), MemoryTracker, lambda workspace, model: registry)
    dataset = prepare(workspace, config)
    trained = train(workspace, config, dataset.fingerprint)
    register(workspace, config, dataset, trained, evaluate(workspace, config, dataset.fingerprint, trained))
    return place


@pytest.fixture(autouse=True)
def home(released: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_HOME", str(released.home))
    monkeypatch.delenv("MTL_STORE", raising=False)


def reproduced(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = mtl(["reproduce", "v1", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_an_unchanged_version_is_bit_equal_and_nothing_of_the_workspace_is_touched(
    released: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    before = released.files()
    code, found = reproduced(capsys)
    assert (code, found["result"], found["differences"], found["first_step"]) == (0, "bit-equal", [], None)
    assert found["adapter_sha256"]["found"] == found["adapter_sha256"]["recorded"]
    assert found["text"].startswith(f"{MODEL} v1 is bit-equal: trained again, its adapter has the same sha256 ")
    assert released.files() == before
    assert not list((released.home / "reproduce").glob("work-*"))
