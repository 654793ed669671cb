"""The loss of each step: recorded in full, whatever is logged, and the same for a run that was killed and resumed."""

from __future__ import annotations

import signal
from importlib.metadata import version
from pathlib import Path

import pytest

from mtl import layout
from mtl.errors import TransientError
from mtl.store.folder import FolderStore
from mtl.training.losses import read_losses
from mtl.training.record import TrainingRecord, read_record
from tests.support.retrains import small_config
from tests.training.conftest import settings, strike, train


@pytest.fixture(scope="module")
def recorded(workshop: Path, dataset: str) -> tuple[TrainingRecord, list[float]]:
    """The record of a run, and the losses that it logged."""
    at, logged = settings(workshop, "recorded"), list[float]()
    result = train(
        small_config(workshop),
        dataset,
        at,
        lambda event: logged.append(event["loss"]) if event["event"] == "step" else None,
    )
    return read_record(FolderStore(Path(at.store)), result["identity"]), logged


def test_a_run_records_the_loss_of_each_step_and_what_was_installed(
    recorded: tuple[TrainingRecord, list[float]],
) -> None:
    record, logged = recorded
    assert [round(loss or 0, 5) for loss in record.losses] == logged
    assert len(record.losses) == 6
    assert record.packages["torch"] == version("torch")
    assert {"numpy", "transformers", "PyYAML"} <= set(record.packages)
    assert record.hardware


@pytest.mark.slow
def test_a_killed_run_that_logs_seldom_records_the_same_losses(
    workshop: Path, dataset: str, recorded: tuple[TrainingRecord, list[float]]
) -> None:
    at = settings(workshop, "killed-with-losses")
    config = small_config(workshop, logging_steps=5)
    with pytest.raises(TransientError):
        train(config, dataset, at, strike(signal.SIGKILL, 4))
    identity = train(config, dataset, at)["identity"]
    assert read_record(FolderStore(Path(at.store)), identity).losses == recorded[0].losses


@pytest.mark.slow
def test_a_lost_record_is_made_again_from_the_last_commit(
    workshop: Path, dataset: str, recorded: tuple[TrainingRecord, list[float]]
) -> None:
    at = settings(workshop, "lost-record")
    identity = train(small_config(workshop), dataset, at)["identity"]
    store = FolderStore(Path(at.store))
    for info in list(store.list(layout.record_key(identity).removesuffix(".json"))):
        store.delete(info.key)
    train(small_config(workshop), dataset, at)
    assert read_record(store, identity).losses == recorded[0].losses


def test_a_checkpoint_without_losses_says_so_for_each_of_its_steps(tmp_path: Path) -> None:
    assert read_losses(tmp_path, 3) == [None, None, None]
    assert read_losses(None, 0) == []
