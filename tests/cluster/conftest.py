"""A cluster of two nodes for the tests of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.nodes import Nodes, ray_nodes


@pytest.fixture(autouse=True, scope="session")
def needs_ray() -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes that see neither each other's folders nor `nodes.folder / "driver"`, which is for the test's own."""
    if os.geteuid() != 0:
        pytest.skip("only root may hide the nodes' folders from each other (mount namespaces)")
    folder: Path = tmp_path_factory.mktemp("cluster")
    driver = folder / "driver"
    driver.mkdir()
    with pytest.MonkeyPatch.context() as patch, ray_nodes(folder, 2, hidden=(driver,)) as found:
        patch.setenv("RAY_ADDRESS", found.address)
        yield found
