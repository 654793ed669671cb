"""Two trainers on two nodes that share nothing but an S3 server end as two processes of torchrun, whatever happens.

The server is radosgw where it is installed, behind a proxy that can be away.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

import pytest

from mtl.config.retrain import RetrainConfig, parse_config
from mtl.errors import PreemptedError, TransientError
from mtl.pipeline.outcome import run_identity
from mtl.pipeline.prepare import prepare
from mtl.settings import load_settings
from mtl.store.s3 import make_client
from mtl.training.launch import launch_training
from mtl.workspace import open_workspace
from tests.cluster.nodes import Nodes
from tests.support.proxy import FaultProxy
from tests.support.radosgw import radosgw_or_moto
from tests.support.retrains import small_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
Event = Mapping[str, Any]
STEPS = 60  # what is asked for after the first of them comes before the last


@pytest.fixture(scope="module", autouse=True)
def proxy() -> Iterator[FaultProxy]:
    """Before the nodes, which inherit the credentials and the address of the proxy."""
    with radosgw_or_moto() as (_, environment), pytest.MonkeyPatch.context() as patch:
        server = urlsplit(environment["AWS_ENDPOINT_URL_S3"])
        with FaultProxy(str(server.hostname), int(server.port or 80)) as found:
            for name, value in {**environment, "AWS_ENDPOINT_URL_S3": found.url}.items():
                patch.setenv(name, value)
            yield found


@pytest.fixture(scope="module")
def bucket(proxy: FaultProxy) -> str:
    name = f"cluster-{uuid.uuid4().hex}"
    make_client().create_bucket(Bucket=name)
    return name


@dataclass
class Driver:
    """The machine that asks. base: a folder that every machine has, as part of its image."""

    home: Path
    base: Path
    bucket: str

    def config(self, *, trainers: int = 2, engine: str = "ray") -> RetrainConfig:
        values = small_config(self.base, max_steps=STEPS, save_steps=4).model_dump(mode="json", by_alias=True)
        return parse_config(values | {"run": {"engine": engine, "trainers": trainers}})

    def train(self, config: RetrainConfig, name: str, on_event: Callable[[Event], None] = lambda event: None) -> Any:
        """On an own prefix of the bucket."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MTL_HOME", str(self.home))
            patch.setenv("MTL_STORE", f"s3://{self.bucket}/{name}")
            dataset = prepare(open_workspace(), config).fingerprint
            result = launch_training(config, dataset, load_settings(), on_event).to_json()
            assert run_identity(config, dataset).sha256 == result["identity"]
            return result


@pytest.fixture(scope="module")
def driver(bucket: str, nodes: Nodes) -> Driver:
    return Driver(nodes.folder / "driver", nodes.folder / "image", bucket)


@pytest.fixture(scope="module")
def plain(driver: Driver) -> Any:
    """What torchrun's two processes make on one machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_TRAINER_PROCESSES", "2")
        return driver.train(driver.config(engine="local"), "plain")


def at(kind: str, act: Callable[[], object]) -> Callable[[Event], None]:
    """Act at the first event of a kind."""
    done: list[Event] = []

    def on_event(event: Event) -> None:
        if event["event"] == kind and not done:
            done.append(event)
            act()

    return on_event


def test_two_trainers_on_two_nodes_are_two_processes_of_torchrun(driver: Driver, plain: Any) -> None:
    events: list[Event] = []
    found = driver.train(driver.config(), "equal", events.append)
    assert found["adapter_sha256"] == plain["adapter_sha256"]
    assert found["identity"] == plain["identity"]
    kinds = [event["event"] for event in events if event["event"] != "log"]
    assert kinds.count("step") == found["steps"] == STEPS
    assert kinds[0] == "start"
    assert kinds[-1] == "done"


def test_a_paused_trainer_and_a_store_that_is_away_change_no_bit(
    driver: Driver, nodes: Nodes, proxy: FaultProxy, plain: Any
) -> None:
    def strike() -> None:
        nodes.workers[0].pause()
        proxy.fail("unavailable", times=None)
        Timer(4.0, nodes.workers[0].go_on).start()
        Timer(6.0, proxy.heal).start()

    found = driver.train(driver.config(), "struck", at("commit", strike))
    assert "unavailable" in proxy.injected
    assert found["adapter_sha256"] == plain["adapter_sha256"]
    assert found["resumed_from"] is None


def test_without_its_head_a_training_is_taken_up_by_the_next_cluster(driver: Driver, nodes: Nodes, plain: Any) -> None:
    head = nodes.head
    assert head is not None
    with pytest.raises(TransientError, match="Ray cluster") as caught:
        driver.train(driver.config(), "headless", at("commit", head.kill))
    assert "start it again" in str(caught.value.hint)
    nodes.restart()
    again = driver.train(driver.config(), "headless")
    assert again["resumed_from"]
    assert again["adapter_sha256"] == plain["adapter_sha256"]


def test_a_node_that_dies_and_a_request_to_stop_change_no_bit(driver: Driver, nodes: Nodes, plain: Any) -> None:
    """The flow would try again: there is another node by then. What is saved on request is gone on from too."""
    with pytest.raises(TransientError, match=r"trainer \d was lost with its Ray worker"):
        driver.train(driver.config(), "killed", at("commit", nodes.workers[1].kill))
    nodes.add()
    with pytest.raises(PreemptedError, match=r"stopped on request after step \d+, which is saved") as stopped:
        driver.train(driver.config(), "killed", at("step", lambda: os.kill(os.getpid(), signal.SIGTERM)))
    again = driver.train(driver.config(), "killed")
    assert f"after step {again['resumed_from']}," in stopped.value.message
    assert again["adapter_sha256"] == plain["adapter_sha256"]


def test_more_trainers_than_the_cluster_has_room_for(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "3")
    began = time.monotonic()
    with pytest.raises(TransientError, match="had no room for 3 trainers of 1 CPUs within 3 s") as caught:
        driver.train(driver.config(trainers=3), "room")
    assert "ray status" in str(caught.value.hint)
    assert time.monotonic() - began < 60
