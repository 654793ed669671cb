"""Several machines of one training: settings, and two nodes on loopback that end with one adapter."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mtl.errors import InputError, TransientError
from mtl.pipeline.prepare import prepare as prepare_dataset
from mtl.pipeline.train import train as train_model
from mtl.settings import TrainerNodes, trainer_nodes
from mtl.store.memory import MemoryStore
from mtl.training.node import announced, torchrun
from mtl.training.plan import TrainPlan
from mtl.workspace import open_workspace
from tests.support.retrains import small_config


def test_the_setting() -> None:
    assert trainer_nodes({}) is None
    job = {"MTL_TRAINER_NODES": "4@job-0.mtl-nodes:29400", "JOB_COMPLETION_INDEX": "3", "MTL_TRAINER_GROUP": "job"}
    assert trainer_nodes(job) == TrainerNodes(4, "job-0.mtl-nodes", 29400, 3, "job")


@pytest.mark.parametrize("text", ["2", "2@host", "0@host:1", "2@ho st:1", "x@host:1"])
def test_a_setting_that_means_nothing(text: str) -> None:
    with pytest.raises(InputError, match="MTL_TRAINER_NODES is"):
        trainer_nodes({"MTL_TRAINER_NODES": text})


def test_a_node_beyond_the_count() -> None:
    with pytest.raises(InputError, match="this node is number '2'"):
        trainer_nodes({"MTL_TRAINER_NODES": "2@host:1", "MTL_TRAINER_NODE": "2"})


def test_the_command_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_TRAINER_PROCESSES", "8")
    command = torchrun(TrainerNodes(2, "host", 29400, 1, "g"), Path("plan.json"))
    assert command[3:8] == [
        "--nnodes=2",
        "--nproc-per-node=8",
        "--node-rank=1",
        "--master-addr=host",
        "--master-port=29400",
    ]


def test_a_port_of_node_0_that_is_taken_is_named_before_the_others_are_told(tmp_path: Path) -> None:
    plan = TrainPlan(config={}, dataset="d", store="s", cache="c", work="w", owner="o", resume=None)
    store = MemoryStore("nodes")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nodes = TrainerNodes(2, "127.0.0.1", taken.getsockname()[1], 0, "g")
        with (
            pytest.raises(TransientError, match=f"port {nodes.port} of .* is taken") as caught,
            announced(store, nodes, plan),
        ):
            pass
    assert "name another port in MTL_TRAINER_NODES" in str(caught.value.hint)
    assert not list(store.list(""))
    with announced(store, nodes, plan):
        assert [info.key for info in store.list("")] == ["nodes/g/plan.json"]


@pytest.mark.slow
def test_two_nodes_train_what_two_processes_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(tmp_path)
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "one"))
    monkeypatch.setenv("MTL_STORE", str(tmp_path / "one-store"))
    dataset = prepare_dataset(open_workspace(), config).fingerprint
    monkeypatch.setenv("MTL_TRAINER_PROCESSES", "2")
    one = train_model(open_workspace(), config, dataset).to_json()

    monkeypatch.setenv("MTL_TRAINER_PROCESSES", "1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("MTL_STORE", str(tmp_path / "two-store"))
    monkeypatch.setenv("MTL_TRAINER_NODES", f"2@127.0.0.1:{port}")
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "first"))
    assert prepare_dataset(open_workspace(), config).fingerprint == dataset
    environment = {**os.environ, "MTL_HOME": str(tmp_path / "second"), "MTL_TRAINER_NODE": "1"}
    with (tmp_path / "node.log").open("wb") as log:
        node = subprocess.Popen(
            [sys.executable, "-m", "mtl.training.node"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        two = train_model(open_workspace(), config, dataset).to_json()
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        code = node.wait(60)
    assert code == 0, (tmp_path / "node.log").read_text()[-2000:]
    assert two["steps"] == one["steps"] == 6
    assert two["adapter_sha256"] == one["adapter_sha256"]
