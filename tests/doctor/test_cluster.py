"""What `mtl doctor` says of a cluster that is not there, and of versions. Real nodes: tests/cluster/test_doctor.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl.config.retrain import load_config
from mtl.doctor.cluster import cluster, compare
from mtl.doctor.result import guarded
from mtl.settings import load_settings

HERE = {"Python": "3.11.2", "ray": "2.60.0", "mtl-retrain": "0.1.0", "source of mtl": "abc"}


def test_nobody_who_asks_for_no_cluster_hears_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert list(cluster(load_settings({}), load_config(Path("conf/demo.yaml")))) == []


def test_a_cluster_that_is_not_there_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.2:1")
    (found,) = guarded("cluster", lambda: cluster(load_settings({"MTL_HOME": str(tmp_path)}), None))
    assert found.level == "fault"
    assert "no Ray cluster can be reached at 127.0.0.2:1" in found.detail
    assert "ray start --head" in str(found.do)


def test_equal_versions_are_one_line() -> None:
    (found,) = compare({"a": HERE, "b": HERE}, HERE)
    assert (found.level, found.detail) == (
        "ok",
        "all nodes that answered have the same versions as this machine: Python 3.11.2, ray 2.60.0, mtl-retrain 0.1.0",
    )


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({**HERE, "ray": "2.59.0"}, "b has other versions: ray is 2.59.0, here it is 2.60.0"),
        ({**HERE, "Python": "3.11.9", "source of mtl": "d"}, "Python is 3.11.9, here it is 3.11.2; source of mtl is d"),
        ({"Python": "3.11.2"}, "mtl-retrain is missing, here it is 0.1.0"),
    ],
)
def test_a_node_that_differs_is_named_with_what_differs(there: dict[str, str], said: str) -> None:
    (found,) = compare({"a": HERE, "b": there}, HERE)
    assert found.level == "fault"
    assert said in found.detail
    assert "install the same versions" in str(found.do)


def test_nodes_of_which_none_answered_are_not_called_equal() -> None:
    assert list(compare({}, HERE)) == []
