"""From evaluation to pointer with real processes and SIGKILL: one version and one champion, whatever happens.

A small run is trained once; each trial hands it over in a process of its own on a copy of the state.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.errors import TransientError
from tests.support.bases import save_base
from tests.support.killing import forked
from tests.support.mlflow_db import _template
from tests.support.retrains import small_values

MODEL = "mtl-flan-t5"
WRITES = 45
"""At least as many as a hand-over makes; trials beyond its last write end without a kill."""
Trial = Callable[[], Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """(home with data set and finished run, result of the training, configuration)."""
    folder = tmp_path_factory.mktemp("trained")
    values = small_values(save_base(folder / "base"))
    (folder / "conf.yaml").write_text(yaml.safe_dump(values))
    environment = {**os.environ, "MTL_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mtl.cli", "train", "-c", str(folder / "conf.yaml"), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    shutil.copyfile(_template(), folder / "mlflow.db")
    return folder, json.loads(done.stdout.splitlines()[-1]), values


@pytest.fixture
def home(trained: tuple[Path, dict[str, Any], dict[str, Any]], tmp_path: Path) -> Path:
    shutil.copytree(trained[0] / "home" / "store", tmp_path / "home" / "store")
    shutil.copyfile(trained[0] / "mlflow.db", tmp_path / "home" / "mlflow.db")
    return tmp_path / "home"


@pytest.fixture
def hand_over(trained: tuple[Path, dict[str, Any], dict[str, Any]], home: Path) -> Trial:
    """Evaluate, register, decide, promote, keep; the gate lets everything through."""
    config = parse_config(trained[2])
    return lambda: _patiently(lambda: _hand_over(config, trained[1], home))


def _settle_in(home: Path) -> None:
    """In the forked process: this home and no address that an earlier test left."""
    os.environ["MTL_HOME"] = str(home)
    for name in ("MTL_STORE", "MLFLOW_TRACKING_URI"):
        os.environ.pop(name, None)


def _patiently(work: Trial) -> Any:
    """As the flow's steps do: tried again where trying again may help."""
    for _ in range(5):
        try:
            return work()
        except TransientError:
            time.sleep(random.uniform(0.1, 1.0))
    return work()


def _hand_over(config: RetrainConfig, result: dict[str, Any], home: Path) -> dict[str, Any]:
    from mtl.decision import Decision, DecisionState
    from mtl.pipeline import gate, outcome, promote
    from mtl.pipeline.evaluate import evaluate
    from mtl.pipeline.prepare import prepare
    from mtl.pipeline.register import register
    from mtl.training.result import TrainedModel
    from mtl.workspace import open_workspace

    _settle_in(home)
    passed = Decision(
        state=DecisionState.PROMOTE,
        reasons=("mcq: it is better.",),
        policy_version="2-test",
        compared_with="base",
    )
    gate.gate_decision = lambda config, evaluation: passed
    workspace = open_workspace()
    trained = TrainedModel.from_json(result, "the result")
    dataset = prepare(workspace, config)
    evaluation = evaluate(workspace, config, dataset.fingerprint, trained)
    registered = register(workspace, config, dataset, trained, evaluation)
    decision = gate.decide(workspace, config, evaluation, registered)
    promotion = promote.promote(workspace, registered, decision)
    outcome.keep_outcome(workspace, config, trained, evaluation, registered, decision, promotion)
    return {"report": evaluation.to_json(), "promoted": {"champion": promotion.champion, "changed": promotion.changed}}


def _state(home: Path) -> dict[str, Any]:
    """What others see: versions, aliases, journal, and whether the champion's release is whole."""
    _settle_in(home)
    from mtl.release.journal import read_journal
    from mtl.release.signature import verify_release
    from mtl.workspace import open_workspace

    workspace = open_workspace()
    store, registry = workspace.store, workspace.registry(MODEL)
    journal = read_journal(store, MODEL)
    if journal.champion is not None:
        verify_release(store, MODEL, journal.champion)
    versions = registry.versions()
    return {
        "versions": [info.version for info in versions],
        "runs": len({info.run_id for info in versions}),
        "aliases": registry.aliases(),
        "champions": [change.version for change in journal.changes],
    }


def done(process: Callable[[], int], result: Path) -> Any:
    assert process() == 0
    return json.loads(result.read_text())["value"]


ONE = {"versions": [1], "runs": 1, "aliases": {"candidate": 1, "champion": 1}, "champions": [1]}


def check_killed_and_repeated(hand_over: Trial, home: Path, *, after: int) -> int:
    """The exit code of the first try. After it there is the old champion (none) or the new one; then exactly one."""
    result = home.parent / "result.json"
    code = forked(hand_over, result, kill_after=after)()
    assert code in (0, -signal.SIGKILL)
    between = done(forked(lambda: _state(home), result), result)
    assert between["champions"] in ([], [1])
    assert len(between["versions"]) <= 1
    again = done(forked(hand_over, result), result)
    assert again["promoted"]["champion"] == 1
    assert done(forked(lambda: _state(home), result), result) == ONE
    return code


def test_killed_in_the_middle_the_next_run_finishes_the_job(hand_over: Trial, home: Path) -> None:
    assert check_killed_and_repeated(hand_over, home, after=16) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("after", range(WRITES))
def test_killed_after_any_write_from_evaluation_to_pointer(hand_over: Trial, home: Path, after: int) -> None:
    check_killed_and_repeated(hand_over, home, after=after)


@pytest.mark.slow
def test_the_range_of_kills_covers_a_whole_hand_over(hand_over: Trial, home: Path) -> None:
    result = home.parent / "result.json"
    assert forked(hand_over, result)() == 0
    assert 20 < json.loads(result.read_text())["writes"] < WRITES


@pytest.mark.slow
def test_killed_in_evaluation_the_metrics_are_the_same(hand_over: Trial, home: Path) -> None:
    result = home.parent / "result.json"
    assert forked(hand_over, result, kill_after=0)() == -signal.SIGKILL
    first = done(forked(hand_over, result), result)["report"]
    shutil.rmtree(home / "store" / "releases")
    for report in (home / "store" / "runs").glob("*/evaluation/report.json"):
        report.unlink()
    shutil.copyfile(_template(), home / "mlflow.db")
    second = done(forked(hand_over, result), result)["report"]
    timed = ("seconds", "seconds_by_model")
    assert {k: v for k, v in first.items() if k not in timed} == {k: v for k, v in second.items() if k not in timed}


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_at_once_make_one_version_and_one_champion(hand_over: Trial, home: Path, count: int) -> None:
    results = [home.parent / f"result-{n}.json" for n in range(count)]
    processes = [forked(hand_over, result) for result in results]
    champions = {
        done(process, result)["promoted"]["champion"] for process, result in zip(processes, results, strict=True)
    }
    assert champions == {1}
    assert done(forked(lambda: _state(home), results[0]), results[0]) == ONE
