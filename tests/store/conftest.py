"""Stores to run the contract on: memory, folder, and S3 through a real HTTP server on loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mtl.store.base import ObjectStore
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from tests.support.s3 import aws, bucket, s3_client, s3_endpoint, s3_store

__all__ = ["aws", "bucket", "s3_client", "s3_endpoint", "s3_store", "store"]


@pytest.fixture(params=["memory", "folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    makers: dict[str, Callable[[], ObjectStore]] = {
        "memory": MemoryStore,
        "folder": lambda: FolderStore(tmp_path / "store"),
        "s3": lambda: request.getfixturevalue("s3_store"),
    }
    return makers[request.param]()
