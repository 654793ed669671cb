"""Runs in a real MLflow on SQLite: everything may be done twice."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mtl.errors import InputError, NotFoundError, PermanentError, TransientError
from mtl.mlflow_backend.schema import schema
from mtl.mlflow_backend.tracker import MlflowTracker
from mtl.settings import load_settings
from mtl.tracking.address import for_shell
from mtl.tracking.base import NOTE, flatten
from mtl.workspace import open_workspace
from tests.support.mlflow_db import fresh_tracking
from tests.support.paths import ALL, STRANGE

IDENTITY = "0123456789abcdef" * 4


@pytest.fixture
def tracking(tmp_path: Path) -> MlflowTracker:
    return fresh_tracking(tmp_path)


def run_of(tracking: MlflowTracker) -> str:
    return tracking.run_for(IDENTITY, experiment="retrain")


def test_one_run_per_identity_however_often_it_is_resumed(tracking: MlflowTracker) -> None:
    first = run_of(tracking)
    tracking.finish(first)
    assert run_of(tracking) == first
    assert tracking.client.get_run(first).info.status == "RUNNING"
    assert tracking.run_for("f" * 64, experiment="retrain") != first
    assert tracking.find_run(IDENTITY, experiment="retrain") == first
    assert tracking.find_run(IDENTITY, experiment="another") is None


def test_a_description_that_a_run_has_stays_when_it_is_resumed(tracking: MlflowTracker) -> None:
    tags = {NOTE: "started by Ann", "other": "1", "empty": ""}
    run = tracking.run_for(IDENTITY, experiment="retrain", tags=tags)
    assert tracking.run_tags(run)[NOTE] == "started by Ann"
    tracking.set_tags(run, {NOTE: "a person's words"})
    tracking.run_for(IDENTITY, experiment="retrain", tags=tags | {"other": "2"})
    found = tracking.run_tags(run)
    assert (found[NOTE], found["other"], "empty" in found) == ("a person's words", "2", False)


def test_a_run_whose_create_was_answered_twice_is_one_run(
    tracking: MlflowTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = tracking.client.create_run

    def lost_answer(*args: object, **kwargs: object) -> object:
        create(*args, **kwargs)
        return create(*args, **kwargs)

    monkeypatch.setattr(tracking.client, "create_run", lost_answer)
    run = run_of(tracking)
    experiment = tracking.experiment("retrain")
    assert [found.info.run_id for found in tracking.client.search_runs([experiment])] == [run]


def test_an_experiment_made_by_many_at_once_is_one(tracking: MlflowTracker) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(lambda _: tracking.experiment("same"), range(6)))) == 1


def test_a_deleted_experiment_says_how_to_go_on(tracking: MlflowTracker) -> None:
    tracking.client.delete_experiment(tracking.experiment("gone"))
    with pytest.raises(InputError, match=r"^experiment 'gone' was deleted in MLflow\n.*MLFLOW_TRACKING_URI=sqlite:///"):
        tracking.experiment("gone")


def test_a_password_in_an_address_is_left_to_the_variable() -> None:
    assert for_shell("http://user:hunter2@h:5000") == '"$MLFLOW_TRACKING_URI"'
    assert for_shell("sqlite:////srv/my data/x.db") == "'sqlite:////srv/my data/x.db'"


def test_artifacts_lie_below_the_artifact_root(tracking: MlflowTracker, tmp_path: Path) -> None:
    run = run_of(tracking)
    tracking.log_text(run, "# Report", "report.md")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.json").write_text("{}")
    tracking.log_folder(run, tmp_path / "out", "evaluation")
    assert (tmp_path / "artifacts") in Path(tracking.client.get_run(run).info.artifact_uri).parents
    assert {item.path for item in tracking.client.list_artifacts(run)} == {"report.md", "evaluation"}


def test_params_are_logged_once_and_a_changed_one_is_named(tracking: MlflowTracker) -> None:
    run = run_of(tracking)
    assert tracking.log_params(run, {"train": {"max_steps": 10, "betas": [0.9, 0.99]}, "seed": 1}) == []
    assert tracking.log_params(run, {"train": {"max_steps": 20}, "seed": 1, "new": None}) == ["train.max_steps"]
    params = tracking.client.get_run(run).data.params
    assert params == {"train.max_steps": "10", "train.betas": "[0.9, 0.99]", "seed": "1", "new": "null"}


def test_more_params_than_one_call_takes(tracking: MlflowTracker) -> None:
    run = run_of(tracking)
    tracking.log_params(run, {f"p{n}": n for n in range(230)})
    assert len(tracking.client.get_run(run).data.params) == 230


def test_metrics_logged_again_are_not_doubled(tracking: MlflowTracker) -> None:
    run = run_of(tracking)
    for value in (0.5, 0.5, 0.75):
        tracking.log_metrics(run, {"summarize/rouge1": value, "broken": math.nan})
    history = tracking.client.get_metric_history(run, "summarize/rouge1")
    assert [point.value for point in history] == [0.5, 0.75]
    assert len(tracking.client.get_metric_history(run, "broken")) == 1


def test_the_data_set_is_an_input_once(tracking: MlflowTracker) -> None:
    run = run_of(tracking)
    for _ in range(2):
        tracking.log_dataset(
            run, name="demo", fingerprint="f" * 64, uri="s3://key:word@bucket/datasets", profile={"rows": 3}
        )
    (found,) = tracking.client.get_run(run).inputs.dataset_inputs
    assert found.dataset.digest == "f" * 36
    assert json.loads(found.dataset.source) == {"uri": "s3://***@bucket/datasets", "fingerprint": "f" * 64}
    assert json.loads(found.dataset.profile) == {"rows": 3}


def test_no_credentials_in_tags_params_or_repr(tracking: MlflowTracker) -> None:
    run = run_of(tracking)
    tracking.set_tags(run, {"store": "https://user:hunter2@host/x"})
    tracking.log_params(run, {"store": "https://user:hunter2@host/x"})
    data = tracking.client.get_run(run).data
    assert data.tags["store"] == data.params["store"] == "https://***@host/x"
    assert "hunter2" not in repr(MlflowTracker("https://user:hunter2@host"))


def test_a_missing_run_is_not_found(tracking: MlflowTracker) -> None:
    with pytest.raises(NotFoundError, match=r"could not log parameters: Run with id=0+ not found"):
        tracking.log_params("0" * 32, {"a": 1})


def test_a_bad_name_is_permanent(tracking: MlflowTracker) -> None:
    with pytest.raises(PermanentError, match="could not log metrics: Invalid value"):
        tracking.log_metrics(run_of(tracking), {"no; such": 1.0})
    with pytest.raises(PermanentError, match="an identity is letters, digits and dashes"):
        tracking.run_for("x' or 1=1", experiment="retrain")


def test_a_dead_server_is_transient_and_its_password_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TransientError, match="could not open experiment 'retrain'") as caught:
        MlflowTracker("http://user:hunter2@127.0.0.1:9").experiment("retrain")
    assert "hunter2" not in str(caught.value)


def test_a_database_that_cannot_be_made_is_permanent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermanentError, match="could not open sqlite"):
        MlflowTracker(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_flatten() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": {}}, "e": [1]}) == {"a.b.c": 1, "a.d": {}, "e": [1]}


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE)
def test_state_stays_in_its_home_whatever_that_is_called(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "homes" / name, tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    fresh_tracking(home)
    settings = load_settings({"MTL_HOME": str(home)})
    tracking = open_workspace(settings).tracker
    assert isinstance(tracking, MlflowTracker)
    run = run_of(tracking)
    tracking.log_text(run, "# Report", "a/report.md")
    assert {item.path for item in tracking.client.list_artifacts(run)} == {"a"}
    assert [path.read_text() for path in home.glob("mlflow-artifacts/*/*/artifacts/a/report.md")] == ["# Report"]
    assert [found.name for found in home.parent.iterdir()] == [name]
    assert not list(elsewhere.iterdir())
    assert schema(settings.tracking_uri)[0] == schema(settings.tracking_uri)[1]


@pytest.mark.slow
def test_a_database_is_made_in_a_home_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    home = tmp_path / "homes" / ALL
    home.mkdir(parents=True)
    tracking = open_workspace(load_settings({"MTL_HOME": str(home)})).tracker
    assert isinstance(tracking, MlflowTracker)
    run_of(tracking)
    assert [found.name for found in home.parent.iterdir()] == [ALL]
    assert (home / "mlflow.db").is_file()
    assert not list((tmp_path / "elsewhere").iterdir())
