"""The contract of all stores on a real S3 server: Ceph's radosgw, which checks signatures and conditions."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from mtl.errors import PermanentError
from mtl.store.s3 import S3Store, make_client
from tests.store import test_contract as contract
from tests.support.radosgw import Server, radosgw, why_not

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "radosgw is there")]

globals().update({name: value for name, value in vars(contract).items() if name.startswith("test_")})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with radosgw() as running:
        yield running


@pytest.fixture
def store(server: Server, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    client, bucket = make_client(), f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return S3Store(bucket, "some/prefix", client, part=5 << 20, patience=20.0)


def test_a_wrong_secret_is_told_at_once_and_not_repeated(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(PermanentError, match="the secret key is wrong") as caught:
        S3Store(store.uri.split("/")[2]).put("x", b"1")
    assert "not-the-secret" not in str(caught.value)
