"""Connecting to a cluster: what its nodes see, and what is said where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtl.cluster import connected
from mtl.errors import TransientError
from tests.cluster.nodes import Nodes


def test_without_a_cluster_it_is_said_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.2:1")
    with (
        pytest.raises(TransientError, match=r"no Ray cluster can be reached at 127\.0\.0\.2:1: .*refused") as caught,
        connected(),
    ):
        pass
    assert "ray start --head" in str(caught.value.hint)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nodes_share_no_folder(nodes: Nodes) -> None:
    (nodes.folder / "driver" / "mine").write_text("x")

    def look(others: list[str]) -> tuple[str, list[list[str]]]:
        home = os.environ["MTL_HOME"]
        (Path(home) / "own").write_text("x")
        return home, [[item.name for item in Path(folder).iterdir()] for folder in others if folder != home]

    folders = [str(node.home) for node in nodes.workers]
    with connected() as ray:
        task = ray.remote(num_cpus=1, scheduling_strategy="SPREAD")(look)
        seen = ray.get([task.remote([*folders, str(nodes.folder / "driver")]) for _ in folders])
    assert {home for home, _ in seen} == set(folders)
    assert all(names == [] for _, others in seen for names in others)
