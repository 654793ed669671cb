"""Killed at a chosen step and resumed: equal to the uninterrupted run, whatever the step and however data are loaded.

Every step is committed, and the trainer dies right after one commit, so that the resume begins exactly there.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mtl.config.retrain import RetrainConfig
from mtl.data.dataset import open_dataset
from mtl.store.folder import FolderStore
from mtl.tasks.table import in_order
from mtl.training.batches import epoch_batches
from mtl.training.dataset import TokenisedSplit
from tests.faults.conftest import NewMachine
from tests.support.preludes import COMMIT, Strike

PLACES = {"mid-epoch": -1, "end of the epoch": 0, "after the epoch": 1}


@pytest.fixture(scope="session")
def epoch(workshop: Path, config: RetrainConfig, dataset: str) -> int:
    """Batches of the first epoch."""
    data = open_dataset(FolderStore(workshop / "home" / "store"), dataset, workshop / "cache")
    split = TokenisedSplit(data, "train", in_order(data.manifest.counts))
    order = split.ordered(config.data.mixture, seed=config.seed, epoch=0)
    size = {"max_tokens": config.train.max_tokens_per_batch, "seed": config.seed, "epoch": 0}
    return len(list(epoch_batches(order, split.sources, split.targets, **size)))


def changed(config: RetrainConfig, **train: object) -> RetrainConfig:
    return config.model_copy(update={"train": config.train.model_copy(update=train)})


@pytest.fixture(scope="session")
def whole(workshop: Path, config: RetrainConfig, dataset: str) -> dict[int, str]:
    """accumulation -> adapter of the uninterrupted run, trained when it is first asked for."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_resumed_at(
    new_machine: NewMachine,
    config: RetrainConfig,
    epoch: int,
    whole: dict[int, str],
    *,
    place: str,
    accumulation: int,
    workers: int,
) -> None:
    """Mid-epoch, at its end, after it; accumulated or not; data loaded in the trainer or by two workers."""
    at = epoch // accumulation + PLACES[place]
    steps = epoch // accumulation + 3
    assert at > 1
    plain = changed(config, max_steps=steps, save_steps=1, accumulation=accumulation)
    if accumulation not in whole:
        whole[accumulation] = new_machine("whole").train(config=plain).adapter
    machine = new_machine("killed")
    loading = changed(plain, workers=workers)
    assert machine.train(Strike(COMMIT, at, late=True), config=loading).code == -signal.SIGKILL
    again = machine.train(config=loading)
    assert again.result["resumed_from"] == at
    assert again.adapter == whole[accumulation]
