"""One data set, machines of one's own, and trainers that are struck at a commit, for all tests of training."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from mtl.config.retrain import RetrainConfig
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.settings import Settings, load_settings
from mtl.training.launch import launch_training
from mtl.workspace import open_workspace
from tests.support.retrains import small_config
from tests.support.trainers import Machine, machine_with

Event = Mapping[str, Any]
NewMachine = Callable[..., Machine]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture(scope="session")
def dataset(workshop: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(workshop / "home"))
        return prepare_dataset(open_workspace(), small_config(workshop)).fingerprint


@pytest.fixture
def new_machine(workshop: Path, dataset: str, tmp_path: Path) -> Iterator[NewMachine]:
    """Makes machines; keyword arguments change the train section."""
    made: list[Machine] = []

    def make(name: str, **train: Any) -> Machine:
        config = small_config(workshop, **train)
        made.append(machine_with(tmp_path / name, workshop / "home" / "store" / "datasets", config, dataset))
        return made[-1]

    yield make
    for machine in made:
        for trainer in machine.started:
            trainer.discard()


def settings(workshop: Path, name: str) -> Settings:
    """An own store that holds the prepared data set."""
    home = workshop / name
    shutil.copytree(workshop / "home" / "store" / "datasets", home / "store" / "datasets")
    return load_settings({"MTL_HOME": str(home)})


def train(config: RetrainConfig, dataset: str, at: Settings, on_event: Callable[[Event], None] | None = None) -> Any:
    return launch_training(config, dataset, at, on_event or (lambda event: None)).to_json()


def trainer_of_this_process() -> psutil.Process:
    """The one that runs: children of earlier tests may be zombies still, which have no command line."""
    alive = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
    (child,) = [p for p in alive if "mtl.training" in p.cmdline()]
    return child


def strike(number: int, step: int) -> Callable[[Event], None]:
    """Send a signal to the trainer once it has committed `step`."""

    def on_event(event: Event) -> None:
        if event["event"] == "commit" and event["step"] == step:
            os.kill(trainer_of_this_process().pid, number)

    return on_event
