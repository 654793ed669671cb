"""Stores to run the contract on: memory, folder, and S3 through a real HTTP server on loopback."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from mtl.store.base import ObjectStore
from mtl.store.folder import FolderStore
from mtl.store.memory import MemoryStore
from mtl.store.s3 import S3Store

_COUNT = itertools.count()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of a moto server on a free port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment that a user would set; returns the endpoint."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return s3_endpoint


@pytest.fixture
def s3_client(aws: str) -> Any:
    return boto3.client("s3", config=Config(s3={"addressing_style": "path"}))


@pytest.fixture
def bucket(s3_client: Any) -> str:
    name = f"bucket-{next(_COUNT)}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def s3_store(bucket: str) -> S3Store:
    """In parts above 5 MiB, the smallest that S3 allows."""
    return S3Store(bucket, "some/prefix", part=5 << 20, patience=20.0)


@pytest.fixture(params=["memory", "folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    makers: dict[str, Callable[[], ObjectStore]] = {
        "memory": MemoryStore,
        "folder": lambda: FolderStore(tmp_path / "store"),
        "s3": lambda: request.getfixturevalue("s3_store"),
    }
    return makers[request.param]()
