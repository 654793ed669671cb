"""The trainer process: killed or stopped anywhere, it ends with the same adapter, bit for bit."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mtl.config.retrain import parse_config
from mtl.data.dataset import open_dataset
from mtl.errors import NotFoundError, PermanentError, PreemptedError, TransientError
from mtl.settings import load_settings
from mtl.store.folder import FolderStore
from mtl.training.launch import ending_file
from tests.support.bases import save_base
from tests.support.retrains import small_config, small_values
from tests.training.conftest import settings, strike, train


@pytest.fixture(scope="module")
def uninterrupted(workshop: Path, dataset: str) -> Any:
    return train(small_config(workshop), dataset, settings(workshop, "plain"))


def test_the_result_says_what_was_done(uninterrupted: Any) -> None:
    assert uninterrupted["steps"] == uninterrupted["max_steps"] == 6
    assert uninterrupted["resumed_from"] is None
    assert set(uninterrupted["loss"]) == {"mcq", "summarize"}
    assert len(uninterrupted["adapter_sha256"]) == len(uninterrupted["identity"]) == 64


@pytest.mark.slow
def test_killed_in_training_it_goes_on_from_its_checkpoint(workshop: Path, dataset: str, uninterrupted: Any) -> None:
    at = settings(workshop, "killed")
    config = small_config(workshop)
    with pytest.raises(TransientError, match="the trainer was killed by SIGKILL"):
        train(config, dataset, at, strike(signal.SIGKILL, 2))
    words = json.loads(ending_file(at, config.name).read_text())
    assert (words["cause"], words["signal"], words["kind"]) == ("killed", "SIGKILL", "transient")
    assert list((at.home / "train").glob("work-*")) == []
    again = train(config, dataset, at)
    assert again["resumed_from"] >= 2
    assert again["adapter_sha256"] == uninterrupted["adapter_sha256"]


def test_a_trainer_that_cannot_be_started_is_tried_again(
    workshop: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the flow, whose rule is the error's kind: no memory or no room for a process passes."""
    monkeypatch.setattr("sys.executable", str(workshop / "no-python"))
    with pytest.raises(TransientError, match=r"could not be started: .*no-python"):
        train(small_config(workshop), dataset, settings(workshop, "unstarted"))


@pytest.mark.slow
def test_asked_to_stop_it_saves_first(workshop: Path, dataset: str, uninterrupted: Any) -> None:
    at = settings(workshop, "stopped")
    config = small_config(workshop)
    with pytest.raises(PreemptedError, match=r"stopped on request after step \d, which is saved"):
        train(config, dataset, at, strike(signal.SIGTERM, 2))
    again = train(config, dataset, at)
    assert again["resumed_from"] >= 2
    assert again["adapter_sha256"] == uninterrupted["adapter_sha256"]


def test_a_finished_run_is_found_not_trained_again(workshop: Path, dataset: str, uninterrupted: Any) -> None:
    events: list[str] = []
    at = load_settings({"MTL_HOME": str(workshop / "plain")})
    again = train(small_config(workshop), dataset, at, lambda event: events.append(event["event"]))
    assert again == uninterrupted
    assert events == ["done"]


@pytest.mark.slow
def test_another_seed_is_another_run_with_other_weights(workshop: Path, dataset: str, uninterrupted: Any) -> None:
    other = small_config(workshop).model_copy(update={"seed": 4})
    result = train(other, dataset, settings(workshop, "other"))
    assert result["identity"] != uninterrupted["identity"]
    assert result["adapter_sha256"] != uninterrupted["adapter_sha256"]


def common_token(workshop: Path, dataset: str) -> int:
    """An id that almost every input holds and the start-up check does not."""
    data = open_dataset(FolderStore(workshop / "home" / "store"), dataset, workshop / "cache")
    ids = Counter(token for row in data.table("summarize", "train").column("input_ids").to_pylist() for token in row)
    return next(token for token, _ in ids.most_common() if token >= 27)


def test_a_loss_that_is_not_finite_stops_the_run(workshop: Path, dataset: str) -> None:
    broken = save_base(workshop / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["shared.weight"][common_token(workshop, dataset)] = float("nan")  # a row the start-up check does not read
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    values = small_values(broken)
    with pytest.raises(PermanentError, match=r"the loss became nan at step 1\n.*lower train.learning_rate"):
        train(parse_config(values), dataset, settings(workshop, "diverged"))


def test_a_data_set_that_does_not_exist_is_named(workshop: Path) -> None:
    with pytest.raises(NotFoundError, match="no data set 000000000000"):
        train(small_config(workshop), "0" * 64, settings(workshop, "empty"))
