"""Two processes of one training compute what one process computes from the same batches."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mtl.config.retrain import RetrainConfig
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.settings import load_settings
from mtl.store.folder import FolderStore
from mtl.training.launch import launch_training
from mtl.training.record import read_record
from mtl.workspace import open_workspace
from tests.support.retrains import small_config


def losses(workshop: Path, name: str, config: RetrainConfig, dataset: str) -> tuple[list[Mapping[str, Any]], Any]:
    """(events, result) of a training on a store of its own."""
    home = workshop / name
    shutil.copytree(workshop / "home" / "store" / "datasets", home / "store" / "datasets")
    events: list[Mapping[str, Any]] = []
    result = launch_training(config, dataset, load_settings({"MTL_HOME": str(home)}), events.append).to_json()
    return events, result


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["packed", "fused"])
def test_the_losses_are_those_of_one_process_that_accumulates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    """A step of two processes is two batches of the stream, and so is one of a process that accumulates two."""
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MTL_STORE", raising=False)
    one = small_config(tmp_path, layout=layout, base_dropout=0.0, gradient_accumulation_steps=2, eval_steps=3)
    one = one.model_copy(update={"lora": one.lora.model_copy(update={"dropout": 0.0})})  # each process draws its own
    two = one.model_copy(update={"train": one.train.model_copy(update={"gradient_accumulation_steps": 1})})
    dataset = prepare_dataset(open_workspace(), one).fingerprint
    alone, result_alone = losses(tmp_path, "alone", one, dataset)
    monkeypatch.setenv("MTL_TRAINER_PROCESSES", "2")
    both, result_both = losses(tmp_path, "both", two, dataset)
    for kind, steps in (("step", 6), ("validation", 2)):
        mine = [event for event in alone if event["event"] == kind]
        theirs = [event for event in both if event["event"] == kind]
        assert len(mine) == len(theirs) == steps
        for a, b in zip(mine, theirs, strict=True):
            assert b["loss_by_task"] == pytest.approx(a["loss_by_task"], rel=1e-4)
    assert result_both["best"]["value"] == pytest.approx(result_alone["best"]["value"], rel=1e-4)
    recorded = [
        recorded_losses(tmp_path / name, result) for name, result in (("alone", result_alone), ("both", result_both))
    ]
    assert recorded[1] == pytest.approx(recorded[0], rel=1e-4)
    assert len(recorded[0]) == 6


def recorded_losses(home: Path, result: Mapping[str, Any]) -> list[Any]:
    return list(read_record(FolderStore(home / "store"), result["identity"]).losses)
