"""Fixtures: an S3 server over real HTTP on loopback, and the environment that leads to it.

moto's server by default. MTL_TEST_S3_ENDPOINT, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, names another one.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mtl.store.s3 import S3Store, make_client


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of an S3 server."""
    other = os.environ.get("MTL_TEST_S3_ENDPOINT")
    if other:
        yield other
        return
    with moto() as environment:
        yield environment["AWS_ENDPOINT_URL_S3"]


@contextmanager
def moto() -> Iterator[dict[str, str]]:
    """moto's server, in this process; the environment that leads to it."""
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    inner, one = S3Response.put_object, threading.Lock()

    def put_object(response: S3Response) -> Any:
        with one:  # moto looks for the key of a conditional put and writes it in two steps, and others in between
            return inner(response)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-secret"}
    S3Response.put_object = put_object
    try:
        yield {**keys, **_addresses(f"http://{host}:{port}")}
    finally:
        S3Response.put_object = inner
        server.stop()


def _environment(endpoint: str) -> dict[str, str]:
    """What a user would set."""
    keys = {} if "MTL_TEST_S3_ENDPOINT" in os.environ else {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test-secret"}
    return {f"AWS_{name}": value for name, value in keys.items()} | _addresses(endpoint)


def _addresses(endpoint: str) -> dict[str, str]:
    more = {"REGION": "us-east-1", "ENDPOINT_URL_S3": endpoint, "EC2_METADATA_DISABLED": "true"}
    return {f"AWS_{name}": value for name, value in more.items()}


@pytest.fixture
def aws(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment that a user would set; returns the endpoint."""
    for name, value in _environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    return s3_endpoint


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> Any:
    """One client for all tests: making one takes a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _environment(s3_endpoint).items():
            patch.setenv(name, value)
        return make_client()


@pytest.fixture
def bucket(s3_client: Any) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture
def s3_store(bucket: str, s3_client: Any) -> S3Store:
    """In parts above 5 MiB, the smallest that S3 allows."""
    return S3Store(bucket, "some/prefix", s3_client, part=5 << 20, patience=20.0)
