"""A trainer that keeps nothing of its data set: killed and resumed, its adapter is that of one that keeps all of it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mtl.errors import TransientError
from tests.support.retrains import small_config
from tests.training.conftest import settings, strike, train


@pytest.mark.slow
def test_the_adapter_and_the_identity_do_not_depend_on_the_room(
    workshop: Path, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(workshop, eval_steps=3)
    plain = train(config, dataset, settings(workshop, "roomy"))
    assert len(list((workshop / "roomy" / "cache").rglob("*.parquet"))) == 4
    monkeypatch.setenv("MTL_DATASET_CACHE_MB", "0")
    at = settings(workshop, "streamed")
    with pytest.raises(TransientError, match="the trainer was killed by SIGKILL"):
        train(config, dataset, at, strike(signal.SIGKILL, 2))
    resumed = train(config, dataset, at)
    assert resumed["resumed_from"] >= 2
    for told in ("identity", "adapter_sha256", "best"):
        assert resumed[told] == plain[told]
    assert list(at.cache.rglob("*.parquet")) == []
