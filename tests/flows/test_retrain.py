"""The whole chain through real Prefect and real MLflow, on a base of a few thousand weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.concurrency.sync import concurrency
from prefect.settings import PREFECT_API_URL

from flows.retrain import retrain
from mtl.cli.main import run
from mtl.config.retrain import parse_config
from mtl.errors import InputError, ModelError
from mtl.pipeline.models import model_folder
from mtl.pipeline.outcome import find_outcome
from mtl.release.journal import read_journal
from mtl.release.provenance import CONFIG, CONSTRAINTS, SBOM
from mtl.settings import device_limit
from mtl.store.folder import FolderStore
from mtl.training.result import TrainedModel, read_result
from mtl.workspace import open_workspace
from tests.support.lineage import read_events
from tests.support.paths import ALL
from tests.support.retrains import small_config, small_values

MODEL = "mtl-flan-t5"
LINEAGE = "lineage.jsonl"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("retrain")
    small_config(folder)
    return folder


@pytest.fixture(autouse=True)
def home(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTL_HOME", str(workshop / ALL))
    monkeypatch.delenv("MTL_STORE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return workshop / ALL


@pytest.fixture(scope="module")
def first(workshop: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(workshop / ALL))
        for name, value in {"TYPE": "file", "LOG_FILE_PATH": str(workshop / LINEAGE), "APPEND": "true"}.items():
            patch.setenv(f"OPENLINEAGE__TRANSPORT__{name}", value)
        return retrain(small_config(workshop))


@pytest.fixture
def own_home(first: dict[str, Any], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home after the first retrain, copied for a test that changes what the others look at."""
    copy = tmp_path / ALL
    shutil.copytree(home, copy)
    monkeypatch.setenv("MTL_HOME", str(copy))
    return copy


def test_the_document_holds_what_others_read(first: dict[str, Any]) -> None:
    json.dumps(first, allow_nan=False)
    assert set(first) >= {"dataset", "train", "evaluate", "decision", "version", "release", "flow_run"}
    assert set(first["train"]) >= {"identity", "steps", "adapter_sha256", "resumed_from"}
    assert set(first["evaluate"]["candidate"]) == {"mcq", "summarize", "by_difficulty"}
    assert first["version"] == 1
    assert first["unchanged"] is False
    assert "answerable" in first["evaluate"]["candidate"]["mcq"]
    assert first["evaluate"]["settings"]["reader"]["name"] == "base"
    assert first["evaluate"]["settings"]["reader"]["reference_questions"] > 0


def test_the_release_says_how_to_train_it_again(first: dict[str, Any], home: Path) -> None:
    folder = home / "store" / "releases" / MODEL / "v1"
    run = json.loads((folder / "provenance" / "run.json").read_text())
    assert (run["identity"], run["adapter_sha256"]) == (first["train"]["identity"], first["train"]["adapter_sha256"])
    assert len(run["losses"]) == first["train"]["steps"]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((folder / SBOM).read_text()) is None
    assert parse_config(json.loads((folder / CONFIG).read_text())).name == "small"
    assert f"numpy=={version('numpy')}" in (folder / CONSTRAINTS).read_text().splitlines()
    assert "`mtl reproduce v1` trains this version again" in (folder / "README.md").read_text()


def test_openlineage_gets_the_start_and_what_was_read_and_made(
    first: dict[str, Any], workshop: Path, home: Path
) -> None:
    start, complete = read_events(workshop / LINEAGE)
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    for event in (start, complete):
        assert event["run"]["runId"] == first["flow_run"]["id"]
        assert event["job"]["name"] == "retrain.small"
        assert event["run"]["facets"]["prefect"]["flowRunName"] == first["flow_run"]["name"]
        assert [its["name"] for its in event["inputs"]] == ["demo", "demo", str(workshop / "base")]
    read = [its["inputFacets"]["inputStatistics"]["rowCount"] for its in complete["inputs"][:2]]
    counts = first["dataset"]["counts"]
    assert read == [sum(split["rows"] for split in counts[task].values()) for task in ("summarize", "mcq")]
    (made,) = complete["outputs"]
    assert (made["namespace"], made["name"]) == ("file", f"{home}/store/releases/{MODEL}")
    assert made["facets"]["version"]["datasetVersion"] == "v1"
    assert made["facets"]["mtl"]["values"]["adapter_sha256"] == first["train"]["adapter_sha256"]
    mlflow = complete["run"]["facets"]["mlflow"]["runId"]
    assert open_workspace().tracker.run_tags(mlflow)


def test_a_random_base_is_not_promoted_and_the_reasons_say_why(first: dict[str, Any], home: Path) -> None:
    assert first["decision"]["promoted"] is False
    assert all(isinstance(reason, str) and reason for reason in first["decision"]["reasons"])
    assert read_journal(FolderStore(home / "store"), MODEL).champion is None


def test_nothing_changed_makes_no_second_version_and_what_is_old_is_tidied_away(
    first: dict[str, Any], workshop: Path
) -> None:
    blobs = workshop / ALL / "store" / "runs" / first["train"]["identity"] / "blobs"
    needed, old, young = set(blobs.iterdir()), blobs / ("0" * 64), blobs / ("1" * 64)
    for path in (old, young):
        path.write_bytes(b"of a commit that was never made")
    os.utime(old, (time.time() - 2 * 86_400,) * 2)
    again = retrain(small_config(workshop))
    assert again["unchanged"] is True
    assert (again["version"], again["train"]) == (first["version"], first["train"])
    assert set(blobs.iterdir()) == needed | {young}


def test_a_retrain_that_has_nothing_to_do_does_not_wait_for_the_device(
    first: dict[str, Any], workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    monkeypatch.setenv("MTL_DEVICE", "taken")
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=device_limit(), limit=1))
    with concurrency(device_limit()):  # by another run, for as long as this one takes
        again = retrain(small_config(workshop))
    assert again["unchanged"] is True
    assert again["train"] == first["train"]


def test_a_version_that_could_not_be_promoted_is_refused_before_the_training(workshop: Path, home: Path) -> None:
    config = small_config(workshop, max_steps=7)
    more = config.model_copy(update={"gate": config.gate.model_copy(update={"min_examples": 5})})
    runs = set((home / "store" / "runs").glob("*"))
    with pytest.raises(InputError, match="no version can be promoted, because 4 validation examples") as caught:
        retrain(more)
    assert "max_examples" in str(caught.value.hint)
    assert set((home / "store" / "runs").glob("*")) == runs
    with get_client(sync_client=True) as client:
        tables = [its for its in client.read_artifacts() if its.key == "dataset"]
    assert any("no version can be promoted" in str(table.description) for table in tables)


def test_the_flow_run_shows_data_set_metrics_and_report(first: dict[str, Any]) -> None:
    of_this_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[first["flow_run"]["id"]]))
    with get_client(sync_client=True) as client:
        mine = client.read_artifacts(artifact_filter=of_this_run)
    assert {a.key for a in mine} >= {"dataset", "metrics", "report", "train-progress", "evaluate-progress"}
    (report,) = [a for a in mine if a.key == "report"]
    assert str(report.data).startswith("# Rejected by the gate")
    (link,) = [a for a in mine if a.key == "report-page"]
    assert Path(first["report"]).as_uri() in str(link.data)
    assert all(a.description for a in mine)
    (places,) = [a for a in mine if a.key == "places"]
    assert f"store/releases/{MODEL}/v1`" in str(places.data)
    assert f"store/datasets/{first['dataset']['fingerprint']}`" in str(places.data)
    assert "<h1>Rejected by the gate</h1>" in Path(first["report"]).read_text()


def test_the_release_is_published_and_pulled(
    first: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pull", "candidate", str(tmp_path / "model"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["adapter_sha256"] == first["train"]["adapter_sha256"]
    assert (tmp_path / "model" / "report.json").is_file()
    released = (tmp_path / "model" / "report.html").read_text()
    assert "<h1>Evaluation</h1>" in released, "a release says what was measured; the decision came later"


def test_models_lists_the_version_and_its_decision(first: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    (version,) = json.loads(capsys.readouterr().out.splitlines()[-1])["versions"]
    assert version["version"] == first["version"]
    assert version["aliases"] == ["candidate"]
    assert version["decision"] == "reject"
    assert version["reasons"] == first["decision"]["reasons"]
    assert version["identity"] == first["train"]["identity"]
    assert version["tags"]["gate"] == "rejected" and "" not in version["tags"].values()
    assert "**v1 was rejected by the gate.** There is no champion yet." in version["description"]
    assert {name.split()[0] for name in version["metrics"] if name.startswith("Gate/")} == {
        "Gate/mcq",
        "Gate/summarize",
    }
    assert run(["models"]) == 0
    assert f"v1 was rejected by the gate:\n  - {version['reasons'][0]}" in capsys.readouterr().out
    assert run(["status"]) == 0
    assert "no version is champion, the newest (v1) neither: mtl models says why" in capsys.readouterr().out


@pytest.mark.usefixtures("own_home")
def test_promotion_obeys_the_gate_unless_a_person_overrules_it(
    first: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["promote", "1", "--json"]) == 1
    refused = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert refused["kind"] == "not_promoted"
    assert "v1 was rejected by the gate" in refused["message"]
    assert run(["promote", "v1", "--force", "shown to the team", "--json"]) == 0
    promoted = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (promoted["champion"], promoted["reason"]) == (1, "shown to the team")
    run(["promote", "v1", "--force", "shown to the team"])
    capsys.readouterr()
    assert run(["models"]) == 0
    told = capsys.readouterr().out
    assert "v1 was promoted by force by " in told
    assert told.count("shown to the team") == 1
    assert first["decision"]["reasons"][0] in told
    assert run(["rollback", "--json"]) == 2
    assert "no previous champion" in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["message"]


@pytest.mark.usefixtures("own_home")
def test_the_history_says_who_and_why_and_reconciling_finds_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    run(["promote", "v1", "--force", "shown to the team"])
    assert run(["models", "--history", "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    change = document["history"][0]
    assert (change["seq"], change["version"], change["reason"], change["forced"]) == (1, 1, "shown to the team", True)
    assert run(["models", "--history"]) == 0
    assert "none -> v1  by" in capsys.readouterr().out
    assert run(["reconcile", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["champion"], found["adopted"], found["mended"]) == (1, None, {})


def test_a_text_over_the_limit_is_refused(
    first: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "long.txt"
    text.write_text("many words " * 2000)
    assert run(["generate", "--model", "candidate", str(text), "--json"]) == 2
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert "tokens long with its instruction, the limit is 448" in error["message"]


def flip_digit(path: Path) -> bytes:
    """Make the last digit of a file another one; the file as it was."""
    whole = path.read_bytes()
    place = max(i for i, byte in enumerate(whole) if chr(byte).isdigit())
    path.write_bytes(whole[:place] + (b"1" if whole[place] != ord("1") else b"2") + whole[place + 1 :])
    return whole


def trained_model(said: dict[str, Any]) -> TrainedModel:
    return TrainedModel.from_json(said["train"], "what the retrain said")


def test_a_result_or_outcome_that_rotted_is_mended_from_its_copy(
    first: dict[str, Any], workshop: Path, home: Path
) -> None:
    config, trained = small_config(workshop), trained_model(first)
    run_folder = home / "store" / "runs" / trained.identity
    kept = find_outcome(open_workspace(), config, trained)
    for path in (run_folder / "result.json", *run_folder.glob("judged/*.json")):
        whole = flip_digit(path)
        assert read_result(FolderStore(home / "store"), trained.identity) == trained
        assert find_outcome(open_workspace(), config, trained) == kept
        assert path.read_bytes() == whole


def test_an_exported_model_that_rotted_is_exported_again(first: dict[str, Any], workshop: Path, home: Path) -> None:
    folder = home / "cache" / "models" / first["train"]["identity"]
    for name in ("adapter_config.json", "tokenizer.json", "mtl_model.json"):
        whole = flip_digit(folder / name)
        assert model_folder(open_workspace(), small_config(workshop), trained_model(first)) == folder
        assert (folder / name).read_bytes() == whole


def test_no_model_is_exported_with_another_base_or_tokenizer(first: dict[str, Any], workshop: Path, home: Path) -> None:
    config = small_config(workshop)
    for name, words in (("config.json", "base .* is not the one this adapter"), ("tokenizer.json", "the tokenizer at")):
        shutil.rmtree(home / "cache" / "models")
        path = workshop / "base" / name
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b'"d_kv": 8', b'"d_kv": 8 ') if name == "config.json" else other_pieces(whole))
        try:
            with pytest.raises(ModelError, match=words):
                model_folder(open_workspace(), config, trained_model(first))
        finally:
            path.write_bytes(whole)
    model_folder(open_workspace(), config, trained_model(first))


def other_pieces(tokenizer: bytes) -> bytes:
    """A tokenizer with two pieces exchanged."""
    document = json.loads(tokenizer)
    pieces = document["model"]["vocab"]
    pieces[10], pieces[11] = pieces[11], pieces[10]
    return json.dumps(document).encode()


@pytest.mark.slow
def test_an_error_is_said_once_and_without_a_traceback(workshop: Path, tmp_path: Path) -> None:
    values = small_values(workshop / "base")
    values["data"]["sources"][0]["uri"] = "nowhere/news.jsonl"
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "mtl.cli", "retrain", "-c", str(conf)]
    quiet = {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PREFECT_LOGGING_LEVEL": "WARNING"}
    environment = {**os.environ, **quiet, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no file or folder 'nowhere/news.jsonl'\n  known: ")
    assert done.stderr.count("nowhere") == 1


@pytest.mark.slow
def test_killed_in_training_and_started_again_it_ends_with_the_same_adapter(
    first: dict[str, Any], workshop: Path, tmp_path: Path
) -> None:
    conf = tmp_path / "conf.yaml"
    conf.write_text(yaml.safe_dump(small_values(workshop / "base")))
    environment = {**os.environ, "MTL_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "mtl.cli", "retrain", "-c", str(conf), "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_commit(tmp_path / "home" / "store" / "runs")
    process.kill()
    process.wait()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout.splitlines()[-1])  # begun at once, while the killed one's trainer still saved
    assert document["train"]["resumed_from"] >= 2
    assert document["train"]["adapter_sha256"] == first["train"]["adapter_sha256"]
    assert document["version"] == 1


def wait_for_commit(runs: Path) -> None:
    """Until a log entry of kind commit is there."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if any('"kind":"commit"' in entry.read_text() for entry in runs.glob("*/log/*.json")):
            return
        time.sleep(0.05)
    raise AssertionError("no commit in four minutes")
