"""Preparation through Prefect's task runners: the same bytes as in one process."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from flows.prepare import prepare, ray_runner
from mtl.config.retrain import RetrainConfig
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.workspace import open_workspace

DOCUMENTS = {"train": 60, "validation": 20}
CONFIG = {
    "name": "sharded",
    "seed": 3,
    "data": {
        "sources": [{"task": task, "uri": "demo", "rows": DOCUMENTS} for task in ("mcq", "summarize")],
        "max_input_tokens": 256,
        "max_target_tokens": 512,
        "shard_rows": 50,
    },
    "model": {"base": "demo"},
}
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("prefect_ray") is None, reason="the extra `ray` is not installed"
)


def home(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("MTL_HOME", str(folder))
    monkeypatch.delenv("MTL_STORE", raising=False)


def test_threads_of_a_flow_make_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RetrainConfig.model_validate(CONFIG)
    home(monkeypatch, tmp_path / "alone")
    alone = prepare_dataset(open_workspace(), config).to_json()
    home(monkeypatch, tmp_path / "sharded")
    assert prepare(config, shards=3) == alone


@pytest.mark.slow
@needs_ray
def test_two_workers_of_a_ray_cluster_make_the_same_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    config = RetrainConfig.model_validate(CONFIG)
    home(monkeypatch, tmp_path / "alone")
    alone = prepare_dataset(open_workspace(), config).to_json()
    home(monkeypatch, tmp_path / "sharded")
    monkeypatch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert prepare.with_options(task_runner=ray_runner("local"))(config, shards=2) == alone
    finally:
        ray.shutdown()
