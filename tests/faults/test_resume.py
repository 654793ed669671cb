"""Killed at a chosen step and resumed: equal to the uninterrupted run, whatever the step and however data are loaded.

Every step is committed, and the trainer dies right after one commit, so that the resume begins exactly there.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.data.dataset import Dataset, open_dataset
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.store.folder import FolderStore
from mtl.tasks.table import in_order
from mtl.training.batches import epoch_batches
from mtl.training.dataset import TokenisedSplit
from mtl.workspace import open_workspace
from tests.support.preludes import COMMIT, Strike
from tests.support.retrains import small_values
from tests.support.trainers import Machine, machine_with

PLACES = {"mid-epoch": -1, "end of the epoch": 0, "after the epoch": 1}


@pytest.fixture(scope="module")
def few(workshop: Path, config: RetrainConfig) -> RetrainConfig:
    """So few documents that an epoch is a handful of batches; a commit after every step."""
    values = small_values(workshop / "base", save_steps=1)
    for source in values["data"]["sources"]:
        source["rows"]["train"] = 6
    return parse_config(values)


@pytest.fixture(scope="module")
def data(workshop: Path, few: RetrainConfig) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(workshop / "few"))
        patch.delenv("MTL_STORE", raising=False)
        fingerprint = prepare_dataset(open_workspace(), few).fingerprint
    return open_dataset(FolderStore(workshop / "few" / "store"), fingerprint, workshop / "cache")


@pytest.fixture(scope="module")
def epoch(few: RetrainConfig, data: Dataset) -> int:
    """Batches of the first epoch."""
    split = TokenisedSplit(data, "train", in_order(data.manifest.counts))
    order = split.ordered(few.data.mixture, seed=few.seed, epoch=0)
    size = {"max_tokens": few.train.max_tokens_per_batch, "seed": few.seed, "epoch": 0}
    return len(list(epoch_batches(order, split.sources, split.targets, **size)))


@pytest.fixture(scope="module")
def new_machine(workshop: Path, tmp_path_factory: pytest.TempPathFactory, few: RetrainConfig, data: Dataset) -> Any:
    """Makes fresh machines that train on the few documents."""
    datasets = workshop / "few" / "store" / "datasets"
    folder = tmp_path_factory.mktemp("few")
    return lambda name: machine_with(folder / name / "machine", datasets, few, data.manifest.fingerprint)


@pytest.fixture(scope="module")
def whole() -> dict[int, str]:
    """accumulation -> adapter of the uninterrupted run, trained when it is first asked for."""
    return {}


def changed(config: RetrainConfig, **train: object) -> RetrainConfig:
    return config.model_copy(update={"train": config.train.model_copy(update=train)})


CASES = [
    *((place, accumulation, 0) for place in PLACES for accumulation in (1, 2)),
    *((place, 1, 2) for place in PLACES),
    ("after the epoch", 2, 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "accumulation", "workers"), CASES)
def test_resumed_at(
    new_machine: Callable[[str], Machine],
    few: RetrainConfig,
    epoch: int,
    whole: dict[int, str],
    *,
    place: str,
    accumulation: int,
    workers: int,
) -> None:
    """Mid-epoch, at its end, after it; accumulated or not; data loaded in the trainer or by two workers."""
    at = epoch // accumulation + PLACES[place]
    assert at > 1
    plain = changed(few, max_steps=epoch // accumulation + 3, gradient_accumulation_steps=accumulation)
    if accumulation not in whole:
        whole[accumulation] = new_machine(f"whole-{accumulation}").train(config=plain).adapter
    machine = new_machine(f"killed at {place}, {accumulation}, {workers}")
    loading = changed(plain, dataloader_num_workers=workers)
    assert machine.train(Strike(COMMIT, at, late=True), config=loading).code == -signal.SIGKILL
    again = machine.train(config=loading)
    assert again.result["resumed_from"] == at
    assert again.adapter == whole[accumulation]
