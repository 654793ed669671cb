"""Connecting to a cluster: what its nodes see, and what is said where there is none."""

from __future__ import annotations

import pytest

from mtl.cluster import connected
from mtl.errors import TransientError


def test_without_a_cluster_it_is_said_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.2:1")
    with (
        pytest.raises(TransientError, match=r"no Ray cluster can be reached at 127\.0\.0\.2:1: .*refused") as caught,
        connected(),
    ):
        pass
    assert "ray start --head" in str(caught.value.hint)
