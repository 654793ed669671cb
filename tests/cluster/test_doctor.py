"""`mtl doctor` on a cluster: what it says of each node, and that it names the one with the fault."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mtl
from mtl.cli.main import run
from mtl.doctor import cluster
from mtl.doctor.result import CheckResult
from mtl.settings import load_settings
from tests.cluster.nodes import Nodes, ray_nodes
from tests.support.s3 import moto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
BUCKET = "cluster"
STORE = f"s3://{BUCKET}/prefix"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head as it should be, and a node that lacks a part of this package and cannot reach the object store."""
    if os.geteuid() != 0:
        pytest.skip("only root may hide the nodes' folders from each other (mount namespaces)")
    folder: Path = tmp_path_factory.mktemp("cluster")
    driver = folder / "driver"
    driver.mkdir()
    lacking = Path(mtl.__file__).parent / "serving"
    with pytest.MonkeyPatch.context() as patch, moto() as environment:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("MTL_STORE", STORE)
        patch.setenv("MTL_HOME", str(driver / "home"))
        _make_bucket()
        with ray_nodes(folder, 0, hidden=(driver,)) as found:
            found.environment["AWS_ENDPOINT_URL_S3"] = NOBODY
            found.hidden += (lacking,)
            found.add()
            patch.setenv("RAY_ADDRESS", found.address)
            yield found


def _make_bucket() -> None:
    from mtl.store.s3 import make_client

    make_client().create_bucket(Bucket=BUCKET)


def test_each_node_is_named_with_its_faults(nodes: Nodes, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 1
    found = [item for item in document["findings"] if item["check"] == "cluster"]
    good, bad = _addresses(nodes)
    assert {item["level"] for item in found if f"({good})" in item["detail"]} == {"ok"}
    faults = [item for item in found if item["level"] == "fault"]
    assert all(f"({bad})" in item["detail"] for item in faults)
    said = " ".join(item["detail"] for item in faults)
    assert "has other versions: source of mtl is " in said
    assert f"{STORE} cannot be used: " in said
    assert any("AWS_* variables" in item["do"] for item in faults)
    assert "2 nodes with 1 CPUs and 0 GPUs for work" in [item["detail"] for item in found]
    assert list(_objects()) == []


def _addresses(nodes: Nodes) -> tuple[str, str]:
    assert nodes.head is not None
    return nodes.head.address, nodes.workers[0].address


def _objects() -> Iterator[str]:
    from mtl.store.open import open_store

    yield from (info.key for info in open_store(STORE).list(""))


def test_a_folder_that_the_nodes_do_not_see_is_no_store_for_a_cluster(nodes: Nodes) -> None:
    folder = nodes.folder / "driver" / "store"
    faults = _faults(str(folder))
    others = [item for item in faults if "what the driver has put is not there" in item.detail]
    assert [address for address in _addresses(nodes) if any(f"({address})" in item.detail for item in others)] == [
        *_addresses(nodes)
    ]
    assert "s3://bucket/prefix" in str(others[0].do)


def test_a_paused_node_is_named_and_the_other_is_reported(nodes: Nodes) -> None:
    good, paused = _addresses(nodes)
    nodes.workers[0].pause()
    try:
        found = _all(STORE, patience=15.0)
    finally:
        nodes.workers[0].go_on()
    (late,) = [item for item in found if item.level == "fault"]
    assert f"({paused}) did not answer within 15 s" in late.detail
    assert "ray stop" in str(late.do)
    assert [item.level for item in found if f"({good})" in item.detail] == ["ok"]


def _faults(store: str) -> list[CheckResult]:
    return [item for item in _all(store) if item.level == "fault"]


def _all(store: str, **options: Any) -> list[CheckResult]:
    return list(cluster.cluster(load_settings({**os.environ, "MTL_STORE": store}), None, **options))
