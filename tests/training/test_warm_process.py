"""The trainer process of a warm start: it begins with the parent's weights, and ends alike wherever it was killed."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mtl.errors import DamageError, ModelError, TransientError
from mtl.fingerprint import sha256_file
from mtl.model.adapter import ADAPTER_FILES, copy_weights
from mtl.model.base import resolve_base
from mtl.pipeline.models import model_folder
from mtl.settings import Settings
from mtl.training.build import build_model
from mtl.training.launch import launch_training
from mtl.training.parent import Parent
from mtl.training.result import TrainedModel
from mtl.workspace import open_workspace
from tests.support.retrains import small_config
from tests.training.conftest import settings, strike

Released = tuple[Parent, Path]

pytestmark = pytest.mark.slow
STEPS = 4


@pytest.fixture(scope="module")
def parent(workshop: Path, dataset: str) -> Released:
    """A full run, and the file of its adapter."""
    at = settings(workshop, "parent")
    trained = launch_training(small_config(workshop), dataset, at, lambda event: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(at.home))
        folder = model_folder(open_workspace(), small_config(workshop), trained)
    found = Parent(model="m", version=1, adapter_sha256=str(trained.adapter_sha256), dataset=dataset, warm_starts=1)
    return found, folder / ADAPTER_FILES[0]


def place(workshop: Path, name: str, parent: Released) -> Settings:
    """A home whose store has the parent's adapter."""
    at = settings(workshop, name)
    path = at.home / "store" / parent[0].key
    path.parent.mkdir(parents=True)
    shutil.copyfile(parent[1], path)
    return at


def train(workshop: Path, at: Settings, parent: Released, on_event: Any = None, **config: Any) -> TrainedModel:
    values = {"from": "champion", "warm_steps": STEPS} | config
    return launch_training(
        small_config(workshop, **values), parent[0].dataset, at, on_event or (lambda event: None), parent=parent[0]
    )


@pytest.fixture(scope="module")
def uninterrupted(workshop: Path, parent: Released) -> TrainedModel:
    return train(workshop, place(workshop, "warm", parent), parent)


def test_it_is_a_run_of_its_own_with_a_schedule_of_its_own(uninterrupted: TrainedModel, parent: Released) -> None:
    assert (uninterrupted.steps, uninterrupted.max_steps) == (STEPS, STEPS)
    assert uninterrupted.parent == parent[0]
    assert uninterrupted.bit_exact and uninterrupted.adapter_sha256 != parent[0].adapter_sha256


def test_it_begins_with_the_weights_of_its_parent(
    workshop: Path, parent: Released, uninterrupted: TrainedModel
) -> None:
    """With next to no learning rate it ends with them; with a new adapter all of lora_B would be near 0."""
    at = place(workshop, "slow", parent)
    slow = train(workshop, at, parent, learning_rate=1e-30, weight_decay=0.0)
    assert slow.adapter_sha256 == parent[0].adapter_sha256
    assert slow.identity != uninterrupted.identity


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_it_goes_on_bit_for_bit_without_the_adapter_of_its_parent(
    workshop: Path,
    parent: Released,
    uninterrupted: TrainedModel,
    processes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MTL_TRAINER_PROCESSES", str(processes))
    whole = uninterrupted if processes == 1 else train(workshop, place(workshop, "pair-whole", parent), parent)
    at = place(workshop, f"killed-{processes}", parent)
    with pytest.raises(TransientError):
        train(workshop, at, parent, strike(signal.SIGKILL, 2))
    (at.home / "store" / parent[0].key).unlink()
    shutil.rmtree(at.home / "cache" / "parents")
    again = train(workshop, at, parent)
    assert again.resumed_from is not None and again.resumed_from >= 2
    assert again.adapter_sha256 == whole.adapter_sha256


def test_without_the_adapter_of_its_parent_it_does_not_begin(workshop: Path, parent: Released) -> None:
    at = place(workshop, "lost", parent)
    path = at.home / "store" / parent[0].key
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamageError, match=r"v1/adapter_model.safetensors is damaged: its sha256 is not"):
        train(workshop, at, parent)


def test_an_adapter_with_other_tensors_is_refused(workshop: Path, parent: Released, tmp_path: Path) -> None:
    config = small_config(workshop)
    wider = config.model_copy(update={"lora": config.lora.model_copy(update={"r": 4})})
    ref = resolve_base(config.model.base)
    with pytest.raises(ModelError, match="has other tensors than this one: ") as caught:
        copy_weights(build_model(wider, ref, ["summarize", "mcq"]), parent[1])
    assert caught.value.field == "lora"
    fewer = load_file(parent[1])
    fewer.pop(sorted(fewer)[0])
    save_file(fewer, tmp_path / "fewer.safetensors")
    with pytest.raises(ModelError, match="and 0 more"):
        copy_weights(build_model(config, ref, ["summarize", "mcq"]), tmp_path / "fewer.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"broken")
    with pytest.raises(DamageError, match=r"broken.safetensors is damaged"):
        copy_weights(build_model(config, ref, ["summarize", "mcq"]), tmp_path / "broken.safetensors")
    assert sha256_file(parent[1]) == parent[0].adapter_sha256
