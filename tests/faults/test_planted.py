"""A pickle planted in a checkpoint, with every hash right, is never run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.pickles import PlantInCheckpoint, planted_archive, planted_pickle
from tests.support.trainers import Machine

STATES = ["optimizer.pt", "scheduler.pt", "rng_state.pth"]
OTHERS = ["training_args.bin", "pytorch_model.bin", "adapter_model.bin", "model.pt", "adapter_model.safetensors"]


def test_the_planted_pickles_would_run(tmp_path: Path) -> None:
    import torch

    for make in (planted_pickle, planted_archive):
        sign = tmp_path / make.__name__
        (tmp_path / "file.pt").write_bytes(make(sign))
        with contextlib.suppress(RuntimeError):  # a plain pickle runs before torch finds that it is none of its files
            torch.load(tmp_path / "file.pt", weights_only=False)
        assert sign.exists()


@pytest.mark.slow
@pytest.mark.parametrize("make", [planted_pickle, planted_archive])
@pytest.mark.parametrize("name", STATES)
def test_row_48_a_pickle_in_place_of_a_state_is_refused(
    halfway: Machine, tmp_path: Path, name: str, make: Callable[[Path], bytes]
) -> None:
    sign = tmp_path / "ran"
    again = halfway.train(PlantInCheckpoint(name, make(sign)), TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1")
    assert not sign.exists()
    assert (again.code, again.error["kind"]) == (1, "damage")
    assert "holds what training never writes and loading would run" in again.error["message"]


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_row_48_a_pickle_anywhere_else_is_refused_or_not_read(
    halfway: Machine, plain: str, tmp_path: Path, name: str
) -> None:
    sign = tmp_path / "ran"
    again = halfway.train(PlantInCheckpoint(name, planted_pickle(sign)), TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1")
    assert not sign.exists()
    assert again.error if again.code else again.adapter == plain
