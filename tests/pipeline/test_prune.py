"""Tidying at the end of a retrain is never a reason for it to fail."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mtl import layout
from mtl.errors import PermanentError
from mtl.pipeline.prune import prune_afterwards, prune_store
from mtl.store.memory import MemoryStore
from mtl.workspace import open_workspace


def test_a_store_that_does_not_answer_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {
        "ACCESS_KEY_ID": "x",
        "SECRET_ACCESS_KEY": "x",
        "ENDPOINT_URL_S3": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("MTL_STORE", "s3://bucket/prefix")
    monkeypatch.setenv("MTL_STORE_PATIENCE", "0.1")
    with caplog.at_level(logging.WARNING, logger="mtl"):
        assert prune_afterwards(open_workspace()) is None
    assert "the next retrain tries again" in caplog.text and "s3://bucket/prefix" in caplog.text


def test_an_empty_store_has_nothing_to_tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_STORE", str(tmp_path / "store"))
    done = prune_afterwards(open_workspace())
    assert done is not None and done.deleted == 0


def test_kept_answers_that_may_not_be_listed_are_passed_by(caplog: pytest.LogCaptureFixture) -> None:
    """An evaluation goes on without them too, so checkpoints must still be pruned."""

    def forbidden(operation: str, key: str) -> None:
        if key.startswith(layout.PREDICTIONS):
            raise PermanentError("access denied")

    store = MemoryStore()
    store.before = forbidden
    with caplog.at_level(logging.WARNING, logger="mtl"):
        assert prune_store(store, delete=True).deleted == 0
    assert "access denied" in caplog.text
