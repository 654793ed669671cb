"""Measuring while training: it changes nothing, keeps the best, ends what got worse, survives kills."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mtl.checkpoints.state import read_state
from mtl.config.retrain import RetrainConfig
from mtl.fingerprint import sha256_file
from mtl.pipeline.models import task_names
from mtl.store.folder import FolderStore
from mtl.training.export import export_model
from tests.support.preludes import FINISH, STEP, Strike
from tests.support.retrains import small_config
from tests.support.trainers import Machine
from tests.training.conftest import NewMachine

# So much too fast that the loss soon rises; measured at 1, 2, ...
WORSE = {"learning_rate": 0.9, "eval_steps": 1, "max_steps": 24, "save_steps": 24, "warmup_steps": 0}


def test_measuring_changes_no_weight(new_machine: NewMachine) -> None:
    plain = new_machine("plain").train()
    measured = new_machine("measured", eval_steps=3, load_best_model_at_end=False).train()
    assert [(event["step"], set(event["loss_by_task"])) for event in measured.of("validation")] == [
        (3, {"mcq", "summarize"}),
        (6, {"mcq", "summarize"}),
    ]
    assert [event["step"] for event in measured.of("commit")] == [2, 3, 4, 6]
    assert measured.adapter == plain.adapter


def exported(machine: Machine, identity: str, adapter: str, folder: Path) -> Path:
    store = FolderStore(machine.home / "store")
    tasks = task_names(machine.config)
    return export_model(machine.config, tasks, store, identity=identity, adapter_sha256=adapter, cache=folder)


def test_the_best_adapter_comes_out_of_a_run_that_got_worse_and_stopped(
    new_machine: NewMachine, tmp_path: Path
) -> None:
    machine = new_machine("worse", **WORSE, early_stopping_patience=2)
    end = machine.train()
    losses = [sum(event["loss_by_task"].values()) / 2 for event in end.of("validation")]
    best = losses.index(min(losses)) + 1
    assert end.result["best"] == {"step": best, "metric": "loss", "value": pytest.approx(min(losses))}
    assert end.result["steps"] == len(losses) == best + 2 < end.result["max_steps"]
    assert end.result["stopped_early"] is True

    state = read_state(FolderStore(machine.home / "store"), end.result["identity"])
    assert state.finished == end.result["steps"]
    assert best in [commit.step for commit in state.commits]
    folder = exported(machine, end.result["identity"], end.adapter, tmp_path / "cache")
    assert sha256_file(folder / "adapter_model.safetensors") == end.adapter

    again = machine.train()
    assert again.events == end.events[-1:]


@pytest.mark.slow
@pytest.mark.parametrize(("strike", "at"), [(Strike(STEP, 3), 3), (Strike(FINISH), 1)], ids=["between", "unfinished"])
def test_killed_it_judges_as_if_it_had_not_been(new_machine: NewMachine, strike: Strike, at: int) -> None:
    whole = new_machine("whole", **WORSE, early_stopping_patience=2).train()
    machine = new_machine("killed", **WORSE, early_stopping_patience=2)
    assert machine.train(strike).code == -signal.SIGKILL
    again = machine.train()
    same = ("steps", "best", "validation", "stopped_early", "adapter_sha256")
    assert {name: again.result[name] for name in same} == {name: whole.result[name] for name in same}


@pytest.mark.slow
def test_asked_to_stop_at_the_step_that_ends_it_it_ends(new_machine: NewMachine) -> None:
    """SIGTERM in the last step of a run that stops early is no preemption."""
    whole = new_machine("whole", **WORSE, early_stopping_patience=2).train()
    machine = new_machine("stopped", **WORSE, early_stopping_patience=2)
    end = machine.train(Strike(STEP, whole.result["steps"], number=signal.SIGTERM))
    assert end.code == 0
    assert end.adapter == whole.adapter


def test_a_named_metric_of_one_task_decides(new_machine: NewMachine) -> None:
    end = new_machine("one", eval_steps=2, metric_for_best_model="loss/mcq").train()
    losses = {event["step"]: event["loss_by_task"]["mcq"] for event in end.of("validation")}
    assert end.result["best"]["step"] == min(losses, key=lambda step: losses[step])
    assert end.result["best"]["metric"] == "loss/mcq"


def test_what_is_measured_must_be_there(workshop: Path) -> None:
    from mtl.errors import ConfigError

    with pytest.raises(ConfigError, match=r"train.early_stopping_patience needs train.eval_steps"):
        small_config(workshop, early_stopping_patience=1)
    with pytest.raises(ConfigError, match=r"train.metric_for_best_model loss/mqc is of no task; did you mean 'mcq'\?"):
        small_config(workshop, eval_steps=1, metric_for_best_model="loss/mqc")
    assert isinstance(small_config(workshop, eval_steps=1, metric_for_best_model="loss/mcq"), RetrainConfig)
