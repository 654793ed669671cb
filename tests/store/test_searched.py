"""What is said of the store in which something was not found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.cli.main import run
from mtl.store.folder import FolderStore
from mtl.store.probe import probe_store
from mtl.store.s3 import S3Store
from mtl.store.searched import searched, store_problem
from tests.support.mlflow_db import fresh_tracking


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MTL_STORE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "home"


def used(folder: Path) -> None:
    FolderStore(folder).put("releases/toy/log/1.json", b"{}")


def foreign(folder: Path) -> None:
    folder.mkdir()
    for name in ("a.txt", "b.txt", "c.txt", "d.txt"):
        (folder / name).touch()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "a folder that does not exist; set MTL_STORE"),
        (Path.mkdir, "a folder that is empty; set MTL_STORE"),
        (Path.touch, "which cannot be read as a folder (Not a directory); set MTL_STORE"),
        (foreign, "a folder that is no store: it holds a.txt, b.txt, c.txt, ..., and neither datasets nor releases"),
    ],
    ids=["missing", "empty", "file", "foreign"],
)
def test_a_folder_that_cannot_hold_it(
    make: Callable[[Path], object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "named")
    monkeypatch.setenv("MTL_STORE", str(tmp_path / "named"))
    assert f"looked in the store {tmp_path}/named, {said}" in searched(FolderStore(tmp_path / "named"))


def test_a_store_that_somebody_named_and_that_holds_something(tmp_path: Path) -> None:
    used(tmp_path / "named")
    assert searched(FolderStore(tmp_path / "named")) == f"looked in the store {tmp_path}/named"


def test_what_the_doctor_tried_there_is_no_content(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "named")
    probe_store(store)
    assert store_problem(store) == "a folder that is empty"


def test_an_s3_prefix(s3_store: S3Store) -> None:
    assert f"looked in the store {s3_store.uri}, which is empty; set MTL_STORE" in searched(s3_store)
    s3_store.put("datasets/x", b"1")
    assert searched(s3_store) == f"looked in the store {s3_store.uri}"


@pytest.mark.parametrize(
    "command",
    [
        ["pull", "champion", "dest"],
        ["pull", "champion", "--url"],
        ["pull", "v3", "dest"],
        ["generate", "--model", "candidate", __file__],
        ["generate", "--model", "abcdef12", __file__],
        ["prepare", "--explain", "abcdef"],
        ["models", "--history"],
        ["models"],
        ["rollback"],
        ["checkpoints", "list"],
        ["checkpoints", "list", "--run", "abcdef"],
        ["checkpoints", "verify"],
        ["checkpoints", "prune"],
        ["status"],
    ],
    ids=" ".join,
)
def test_every_command_that_finds_nothing_says_where_it_looked(
    command: list[str],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    if command in (["models"], ["rollback"]):
        fresh_tracking(home)  # making MLflow's tables anew takes seconds
    run(command)
    captured = capsys.readouterr()
    said = captured.out + captured.err
    place, setting = "store ", "MTL_STORE"
    if command == ["models"]:
        place, setting = "MLflow of sqlite:///", "MLFLOW_TRACKING_URI"
    assert f"looked in the {place}{home}" in said
    assert f"as {setting} is not set" in said


def test_another_model_of_the_store_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used(tmp_path / "named")
    monkeypatch.setenv("MTL_STORE", str(tmp_path / "named"))
    assert run(["pull", "champion", str(tmp_path / "dest")]) == 2
    said = capsys.readouterr().err
    assert "nothing of mtl-flan-t5 is published there, but of toy (--name)" in said
    assert f"looked in the store {tmp_path}/named" in said
