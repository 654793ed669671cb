"""Connecting to a cluster: what its nodes see, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize("known", ["127.0.0.2:1", None])
def test_a_cluster_that_is_gone_is_not_waited_for(
    known: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    if known is not None:
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray" / "ray_current_cluster").write_text(known)
    with pytest.raises(TransientError, match=f"no Ray cluster can be reached at {known or 'auto'}: "), connected():
        pass
