"""Row 38: what changed before a resume is refused by name where that very run is demanded, and else another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl.config.retrain import RetrainConfig
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.store.folder import FolderStore
from mtl.workspace import open_workspace
from tests.faults.conftest import only_run
from tests.support.preludes import COMMIT, OtherVersion, Strike
from tests.support.retrains import small_config
from tests.support.trainers import Machine


def changed(config: RetrainConfig, section: str, **values: Any) -> RetrainConfig:
    """The configuration with other values in one section, or at the top."""
    if not section:
        return config.model_copy(update=values)
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


pytestmark = pytest.mark.slow
CHANGES = [
    ("seed", "", {"seed": 4}),
    ("train.gradient_accumulation_steps", "train", {"gradient_accumulation_steps": 2}),
    ("train.learning_rate", "train", {"learning_rate": 1e-4}),
    ("train.max_steps", "train", {"max_steps": 8}),
    ("lora.r", "lora", {"r": 4}),
    ("threads", "train", {"threads": 2}),
]


@pytest.mark.parametrize(("field", "section", "values"), CHANGES)
def test_row_38_a_changed_configuration(
    killed: Machine, config: RetrainConfig, field: str, section: str, values: dict[str, Any]
) -> None:
    run = only_run(FolderStore(killed.store))
    refused = killed.train(config=changed(config, section, **values), resume=run[:12])
    assert refused.code == 2
    assert (refused.error["kind"], refused.error["field"]) == ("mismatch", field)
    assert f"  {field}: was " in refused.error["message"]
    assert only_run(FolderStore(killed.store)) == run


def test_row_38_a_changed_library(killed: Machine) -> None:
    run = only_run(FolderStore(killed.store))
    refused = killed.train(OtherVersion("torch"), resume=run)
    assert (refused.code, refused.error["field"]) == (2, "library.torch")
    assert 'is now "0.0.1"' in refused.error["message"]


def test_row_38_changed_data(killed: Machine, halfway: Machine, workshop: Path, monkeypatch: Any) -> None:
    """Undemanded, it is a run of its own, as every night's is; the run it passed by is named and left as it was."""
    run = only_run(FolderStore(killed.store))
    monkeypatch.setenv("MTL_HOME", str(halfway.home))
    monkeypatch.delenv("MTL_STORE", raising=False)
    other = changed(small_config(workshop), "data", instruction_dropout=0.5)
    halfway.dataset = prepare_dataset(open_workspace(), other).fingerprint
    refused = halfway.train(resume=run)
    assert (refused.code, refused.error["field"]) == (2, "dataset")
    end = halfway.train()
    (start,) = end.of("start")
    assert start["passed_by"] == {"identity": run, "differing": ["dataset"]}
    assert (end.result["resumed_from"], end.result["bit_exact"]) == (None, True)
    assert "is unfinished and differs in dataset" in end.of("log")[0]["message"]


def test_compatible_goes_on_and_says_so_for_ever(halfway: Machine, config: RetrainConfig) -> None:
    """Other threads, from the newest commit of the run before; also when it is killed and goes on from its own."""
    run = only_run(FolderStore(halfway.store))
    compatible = changed(config, "train", threads=2, resume="compatible")
    assert halfway.train(Strike(COMMIT, 2), config=compatible).code == -9  # its first commit is the other run's
    end = halfway.train(config=compatible)
    assert end.of("start")[0]["bit_exact"] is False
    assert end.result["continued_from"] == {"source": run, "step": 4, "differing": ["threads"]}
    assert (end.result["bit_exact"], end.result["resumed_from"]) == (False, 4)
    assert end.result["identity"] != run
    assert len(end.of("step")) == 2


def test_compatible_does_not_mix_what_differs_in_more(halfway: Machine, config: RetrainConfig) -> None:
    other = changed(changed(config, "train", threads=2, resume="compatible"), "", seed=4)
    end = halfway.train(config=other)
    assert end.of("start")[0]["passed_by"]["differing"] == ["seed", "threads"]
    assert end.result["bit_exact"] is True
