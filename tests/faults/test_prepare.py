"""Row 1: killed in data preparation, at several of its writes; the data set and what is trained on it are the same."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from mtl.config.retrain import RetrainConfig
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.workspace import open_workspace
from tests.support.preludes import WRITE, Strike
from tests.support.trainers import SERVER, Machine


def _prepare(home: str, config: RetrainConfig, strike: Strike) -> None:
    os.environ["MTL_HOME"] = home
    os.environ.pop("MTL_STORE", None)
    strike()
    prepare_dataset(open_workspace(), config)


@pytest.mark.slow
def test_row_01_killed_in_data_preparation(
    tmp_path: Path, config: RetrainConfig, dataset: str, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "machine"
    ends = []
    for nth in range(1, 8):
        process = SERVER.Process(target=_prepare, args=(str(home), config, Strike(WRITE, nth)))
        process.start()
        process.join(120)
        ends.append(process.exitcode)
        if process.exitcode == 0:
            break
    assert ends[0] == -signal.SIGKILL
    assert set(ends) <= {0, -signal.SIGKILL}
    monkeypatch.setenv("MTL_HOME", str(home))
    monkeypatch.delenv("MTL_STORE", raising=False)
    assert prepare_dataset(open_workspace(), config).fingerprint == dataset
    assert Machine(home, str(home / "store"), config, dataset).train().adapter == plain
