"""Generation and evaluation on two nodes that share nothing: what one process gives, whatever happens to a node."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtl.pipeline import generate_on_ray
from mtl.pipeline.generate import BatchJob, plan, run_shard
from mtl.progress import ProgressEvent, subscribe
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.store.s3 import make_client
from mtl.workspace import open_workspace
from tests.cluster.nodes import Nodes
from tests.support.s3 import moto
from tests.support.trained import trained_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """URI of a store in the environment of this process, and so of the nodes."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    with moto() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment, "MTL_STORE": f"s3://{bucket}/prefix"}.items():
            patch.setenv(name, value)
        make_client().create_bucket(Bucket=bucket)
        yield f"s3://{bucket}/prefix"


@dataclass
class Cluster:
    """driver: a folder that no node sees."""

    nodes: Nodes
    driver: Path
    store: ObjectStore


@pytest.fixture(scope="module")
def cluster(s3: str, nodes: Nodes) -> Iterator[Cluster]:
    driver = nodes.folder / "driver"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTL_HOME", str(driver / "home"))
        yield Cluster(nodes, driver, open_store(s3))


@pytest.fixture(scope="module")
def job(cluster: Cluster) -> BatchJob:
    model = trained_model(cluster.driver / "model")
    source = cluster.driver / "texts.jsonl"
    source.write_text(
        "\n".join(json.dumps({"id": f"t{n}", "text": f"Boat {n} came." if n % 7 else 3}) for n in range(30))
    )
    return plan(
        open_workspace(), source, task="summarize", request={}, model="m", ref=str(model), shard_rows=3, truncate=True
    )


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_parts_are_those_of_one_process_though_a_node_is_killed(
    cluster: Cluster, job: BatchJob, tmp_path: Path
) -> None:
    for number in range(job.shards):
        run_shard(job, number, tmp_path / "here")
    seen: list[ProgressEvent] = []

    def kill(event: ProgressEvent) -> None:
        seen.append(event)
        if event.done == 2:
            cluster.nodes.workers[0].kill()

    with subscribe(kill):
        parts = generate_on_ray.run_shards(job, tmp_path / "there")
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert [Path(part.path).name for part in parts] == sorted(files(tmp_path / "here"))
    assert [event.done for event in seen] == list(range(job.shards + 1))
