"""`mtl reproduce`: bit-equal, or what differs and from which step on; the workspace stays as it was."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from mtl.checkpoints.related import find_identity
from mtl.cli.main import run as mtl
from mtl.config.retrain import parse_config
from mtl.fingerprint import sha256_file
from mtl.pipeline.models import model_folder
from mtl.pipeline.prepare import prepare
from mtl.pipeline.train import train
from mtl.registry.code_version import code_version
from mtl.release.layout import ReleaseFacts, read_manifest
from mtl.release.provenance import CONFIG, RUN, provenance_files
from mtl.release.publish import publish
from mtl.settings import load_settings
from mtl.store.open import open_store
from mtl.tracking.memory import MemoryTracker
from mtl.training.record import read_record
from mtl.workspace import Workspace
from tests.support.bases import save_base
from tests.support.retrains import small_values
from tests.support.rows import article, write_jsonl

pytestmark = pytest.mark.slow
MODEL = "mtl-flan-t5"


@dataclass(frozen=True)
class Place:
    """A home with a released version, and what it was made from."""

    home: Path
    news: Path
    base: Path

    def files(self) -> dict[str, str]:
        """Every file of the home by its hash, but for those of `mtl reproduce` itself."""
        paths = (path for path in self.home.rglob("*") if path.is_file() and "reproduce" not in path.parts)
        return {path.relative_to(self.home).as_posix(): sha256_file(path) for path in paths}


def write_news(folder: Path, more: str = "") -> Path:
    """40 articles to train on; each summary ends with `more`."""
    rows = [row | {"highlights": row["highlights"] + more} for row in map(article, range(44))]
    write_jsonl(folder / "train.jsonl", rows[:40])
    write_jsonl(folder / "validation.jsonl", rows[40:])
    return folder


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("released")
    place = Place(folder / "home", write_news(folder / "news"), save_base(folder / "base"))
    values = small_values(place.base)
    values["data"]["mixture"] = {"kind": "explicit", "rates": {"summarize": 0.6, "mcq": 0.4}}
    values["data"]["sources"][0] = {"task": "summarize", "uri": str(place.news)}
    config, settings = parse_config(values), load_settings({"MTL_HOME": str(place.home)})
    workspace = Workspace(settings, open_store(settings.store), MemoryTracker, lambda workspace, model: no_registry())
    dataset = prepare(workspace, config)
    trained = train(workspace, config, dataset.fingerprint)
    facts = ReleaseFacts(trained.identity, dataset.fingerprint, code_version())
    files = provenance_files(
        model=MODEL,
        version=1,
        config=config,
        identity=find_identity(workspace.store, trained.identity),
        trained=trained,
        record=read_record(workspace.store, trained.identity),
        dataset=dataset.manifest,
        code_version=facts.code_version,
    )
    folder = model_folder(workspace, config, trained)
    publish(workspace.store, folder, model=MODEL, version=1, facts=facts, documents=files)
    return place


def no_registry() -> Any:
    raise AssertionError("nothing is registered here")


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


def test_other_data_are_named_with_the_first_step_whose_loss_differs(
    released: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row changes, because six steps need not reach a particular one."""
    write_news(released.news, more=" Nobody knows why .")
    try:
        code, found = reproduced(capsys, "--from-sources")
    finally:
        write_news(released.news)
    assert (code, found["result"]) == (3, "differs")
    assert [item["field"] for item in found["differences"]] == ["dataset", f"dataset.summarize {released.news.name}"]
    assert found["first_step"]["recorded"] != found["first_step"]["found"]
    step = found["first_step"]["step"]
    assert f"differs: the first step whose loss differs is {step} of 6 (recorded " in found["text"]
    assert "these differ: dataset (recorded " in found["text"]


def test_one_more_thread_is_named(released: Place, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = reproduced(capsys, "--threads", "2")
    (difference,) = found["differences"]
    assert (difference["field"], difference["recorded"], difference["found"]) == ("threads", "1", "2")
    assert "threads (recorded 1, found 2)" in found["text"]
    # Sums this small may be rounded alike on two threads.
    assert (code, found["result"]) in [(0, "bit-equal"), (3, "differs")]


def as_installed(folder: Path, name: str, its: str) -> Path:
    """A folder that, first on the path, makes a package look as if another version of it were installed."""
    info = folder / f"{name}-{its}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {its}\n\nText.\n")
    return folder


@pytest.mark.parametrize(
    ("name", "field", "code"), [("safetensors", "library.safetensors", 3), ("rich", "package.rich", 0)]
)
def test_another_library_version_is_named(
    name: str,
    field: str,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = version(name)
    monkeypatch.syspath_prepend(as_installed(tmp_path, name, "99.1"))
    assert mtl(["reproduce", "v1", "--check-only", "--json"]) == code
    out = capsys.readouterr()
    (difference,) = json.loads(out.out.splitlines()[-1])["differences"]
    assert (difference["field"], difference["recorded"], difference["found"]) == (field, before, "99.1")
    assert "provenance/constraints.txt" in difference["hint"]
    assert (f"differs: {field} (recorded {before}, found 99.1)" in out.err) == difference["decides"]


def test_a_pruned_data_set_is_prepared_again_and_a_base_that_moved_is_taken_from_the_release(
    released: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    shutil.copytree(released.home, home)
    shutil.rmtree(home / "store" / "datasets")
    monkeypatch.setenv("MTL_HOME", str(home))
    elsewhere = released.base.rename(released.base.with_name("elsewhere"))
    try:
        code, found = reproduced(capsys)
    finally:
        elsewhere.rename(released.base)
    assert (code, found["result"], found["differences"]) == (0, "bit-equal", [])
    assert not (home / "store" / "datasets").exists()


def test_without_the_run_the_release_alone_is_enough(
    released: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    shutil.copytree(released.home, home)
    shutil.rmtree(home / "store" / "runs")
    monkeypatch.setenv("MTL_HOME", str(home))
    code, found = reproduced(capsys, "--check-only")
    assert (code, found["differences"], found["text"]) == (
        0,
        [],
        f"{MODEL} v1 was not trained again; nothing differs so far.",
    )


def republished(released: Place, folder: Path, **changed: Any) -> Path:
    """A home in which version 2 is version 1, with a record that says something else of the same adapter."""
    home = folder / "home"
    shutil.copytree(released.home, home)
    store = open_store(str(home / "store"))
    manifest = read_manifest(store, MODEL, 1)
    prefix = f"releases/{MODEL}/v1"
    documents = {name: store.get(f"{prefix}/{name}").decode() for name in (CONFIG, RUN)}
    run = json.loads(documents[RUN])
    fields = run["fields"] | changed.pop("fields", {})
    documents[RUN] = json.dumps(run | changed | {"fields": fields})
    (exported,) = (home / "cache" / "models").iterdir()
    publish(store, exported, model=MODEL, version=2, facts=manifest.facts, documents=documents)
    return home


RECORDED: dict[str, tuple[dict[str, Any], str, str]] = {
    "code": (
        {"fields": {"source": "0" * 64}, "code_version": "abc"},
        "abc, source 000000000000",
        "check the recorded commit",
    ),
    "python": ({"fields": {"python": "3.9.1"}}, "3.9.1", "use the recorded version of Python"),
    "device": ({"fields": {"device": "cuda"}}, "cuda", "train on the recorded device"),
    "world_size": ({"fields": {"world_size": 2}}, "2", "set MTL_TRAINER_PROCESSES to the recorded number"),
    "train.learning_rate": ({"fields": {"train.learning_rate": 0.5}}, "0.5", ""),
    "train.new_field": ({"fields": {"train.new_field": 1}}, "1", ""),
    "hardware": ({"hardware": "sparc VIS3"}, "sparc VIS3", "another processor may add up in another order"),
    "base": ({"fields": {"base": "0" * 64}}, "0" * 64, "model.base holds other weights"),
    "continued_from": (
        {"bit_exact": False, "continued_from": {"source": "1" * 64, "step": 4, "differing": ["threads"]}},
        "run 111111111111 at step 4",
        "that run differs in threads",
    ),
}


@pytest.mark.parametrize("field", RECORDED)
def test_whatever_is_not_as_recorded_is_named(
    field: str,
    released: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed, recorded, hint = RECORDED[field]
    monkeypatch.setenv("MTL_HOME", str(republished(released, tmp_path, **changed)))
    code = mtl(["reproduce", "v2", "--check-only", "--json"])
    out = capsys.readouterr()
    (difference,) = json.loads(out.out.splitlines()[-1])["differences"]
    assert (code, difference["field"], difference["recorded"]) == (3, field, recorded)
    assert (difference["hint"] or "").startswith(hint)
    assert f"differs: {field} (recorded {recorded}, found " in out.err


def test_a_release_of_an_earlier_version_says_what_it_lacks(
    released: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    shutil.copytree(released.home, home)
    monkeypatch.setenv("MTL_HOME", str(home))
    store = open_store(str(home / "store"))
    facts = read_manifest(store, MODEL, 1).facts
    (folder,) = (home / "cache" / "models").iterdir()
    publish(store, folder, model=MODEL, version=2, facts=facts, documents={"report.md": "# Report"})
    assert mtl(["reproduce", "v2"]) == 2
    assert capsys.readouterr().err == (
        f"error: {MODEL} v2 cannot be trained again: its release has no provenance/config.json and no "
        "provenance/run.json\n  it was published by an earlier version of mtl, which did not record this; "
        "a new retrain does\n"
    )


def test_a_changed_provenance_file_is_refused(
    released: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    shutil.copytree(released.home, home)
    monkeypatch.setenv("MTL_HOME", str(home))
    path = home / "store" / "releases" / MODEL / "v1" / "provenance" / "run.json"
    path.write_text(path.read_text().replace('"steps": 6', '"steps": 5'))
    assert mtl(["reproduce", "v1"]) == 1
    assert "provenance/run.json is damaged: its sha256 is not the manifest's" in capsys.readouterr().err
