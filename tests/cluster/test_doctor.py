"""`mtl doctor` on a cluster: what it says of each node, and that it names the one with the fault."""

from __future__ import annotations

import json
import os
import shutil
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

pytestmark = pytest.mark.slow
BUCKET = "cluster"
STORE = f"s3://{BUCKET}/prefix"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A node as it should be, then one with another source of this package, which cannot reach the object store."""
    if os.geteuid() != 0:
        pytest.skip("only root may hide the nodes' folders from each other (mount namespaces)")
    folder: Path = tmp_path_factory.mktemp("cluster")
    driver = folder / "driver"
    driver.mkdir()
    shutil.copytree(Path(mtl.__file__).parent, folder / "other" / "mtl")
    (folder / "other" / "mtl" / "added.py").write_text("ADDED = 1\n")
    with pytest.MonkeyPatch.context() as patch, moto() as environment:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("MTL_STORE", STORE)
        patch.setenv("MTL_HOME", str(driver / "home"))
        _make_bucket()
        with ray_nodes(folder, 1, hidden=(driver,)) as found:
            found.environment |= {"AWS_ENDPOINT_URL_S3": NOBODY, "PYTHONPATH": str(folder / "other")}
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
    good, bad = (node.address for node in nodes.workers)
    assert {item["level"] for item in found if f"({good})" in item["detail"]} == {"ok"}
    faults = [item for item in found if item["level"] == "fault"]
    assert all(f"({bad})" in item["detail"] for item in faults)
    said = " ".join(item["detail"] for item in faults)
    assert "has other versions: source of mtl is " in said
    assert f"{STORE} cannot be used: " in said
    assert any("AWS_* variables" in item["do"] for item in faults)
    assert "3 nodes with 2 CPUs and 0 GPUs for work" in [item["detail"] for item in found]
    assert list(_objects()) == []


def _objects() -> Iterator[str]:
    from mtl.store.open import open_store

    yield from (info.key for info in open_store(STORE).list(""))


def test_a_folder_that_the_nodes_do_not_see_is_no_store_for_a_cluster(nodes: Nodes) -> None:
    folder = nodes.folder / "driver" / "store"
    faults = _faults(str(folder))
    others = [item for item in faults if "what the driver has put is not there" in item.detail]
    assert len(others) >= len(nodes.workers)
    assert "s3://bucket/prefix" in str(others[0].do)


def test_a_paused_node_is_named_and_the_others_are_reported(nodes: Nodes) -> None:
    paused = nodes.workers[0]
    paused.pause()
    try:
        found = _faults(STORE, patience=20.0)
    finally:
        paused.go_on()
    late = [item.detail for item in found if "did not answer within 20 s" in item.detail]
    assert len(late) == 1
    assert f"({paused.address})" in late[0]
    assert [item for item in found if f"({nodes.workers[1].address}) has other versions" in item.detail]


def _faults(store: str, **options: Any) -> list[CheckResult]:
    settings = load_settings({**os.environ, "MTL_STORE": store})
    return [item for item in cluster.cluster(settings, None, **options) if item.level == "fault"]
