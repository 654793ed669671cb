"""The contract of all stores on a real S3 server: Ceph's radosgw, which checks signatures and conditions."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from mtl.errors import PermanentError
from mtl.store.s3 import LONGEST_LINK, S3Store, make_client
from tests.store import test_contract as contract
from tests.support.proxy import FaultProxy
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


@pytest.mark.parametrize("kind", ["cut_body", "end_body", "stall_body"])
def test_a_read_goes_on_where_its_body_broke(
    server: Server, store: S3Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    data = os.urandom(6 << 20)
    store.put("big", data)
    target = urlsplit(server.endpoint)
    with FaultProxy(str(target.hostname), int(target.port or 0)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        broken = S3Store(store.uri.split("/")[2], "some/prefix", part=5 << 20, patience=60.0)
        proxy.fail(kind, times=1 if kind == "stall_body" else 3, after=1 << 20, containing=b"GET ")
        assert broken.get("big") == data
        assert broken.get_range("big", 5, end=5 << 20) == data[5 : 5 << 20]
        broken.get_file("big", tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == data


def test_a_presigned_link_downloads_until_it_expires_and_only_as_it_is(store: S3Store) -> None:
    store.put("a", b"data")
    link = store.presign("a", seconds=LONGEST_LINK)
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link
    assert httpx.get(link, headers={"Range": "bytes=1-2"}).content == b"at"
    assert httpx.get(link.replace("some/prefix/a", "some/prefix/b")).status_code == 403
    soon = store.presign("a", seconds=1)
    time.sleep(3)
    assert httpx.get(soon).status_code == 403
