"""S3Store: faults on the wire, errors in words, multipart uploads."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError

from mtl.errors import DamageError, InputError, NotFoundError, PermanentError, TransientError
from mtl.store.log import Log
from mtl.store.open import open_store
from mtl.store.retry import Patience
from mtl.store.s3 import LONGEST_LINK, S3Store
from tests.support.proxy import FaultProxy

QUICK = Patience(seconds=5.0, first=0.01, longest=0.05)


@pytest.fixture
def proxy(aws: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Between the stores that a test opens and the S3 server."""
    target = urlsplit(aws)
    with FaultProxy(target.hostname or "", target.port or 0) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        yield proxy


@pytest.fixture
def proxied(proxy: FaultProxy, bucket: str) -> S3Store:
    return S3Store(bucket, "p", patience=QUICK, part=5 << 20)


@pytest.mark.parametrize(
    ("kind", "after"), [("refuse", 0), ("cut", 0), ("cut", 500), ("cut", 100_000), ("lose_answer", 0)]
)
def test_broken_connections_are_tried_again(proxy: FaultProxy, proxied: S3Store, kind: str, after: int) -> None:
    data = os.urandom(400_000)
    proxy.fail(kind, times=2, after=after)
    proxied.put("x", data)
    assert proxy.injected == [kind, kind]
    proxy.fail(kind, times=1, after=min(after, 50))
    assert proxied.get("x") == data


def test_a_lost_answer_to_put_if_absent_is_recognised_by_the_log(proxy: FaultProxy, proxied: S3Store) -> None:
    proxy.fail("lose_answer", containing=b"PUT ")
    assert not proxied.put_if_absent("x", b"mine")  # written, and yet "taken"
    assert proxied.get("x") == b"mine"
    proxy.fail("lose_answer", containing=b"PUT ")
    assert Log(proxied, "log").append(1, {"n": 1}).stands
    assert proxy.injected == ["lose_answer"] * 2


def test_a_store_that_is_gone_costs_a_bounded_time(proxy: FaultProxy, bucket: str) -> None:
    store = S3Store(bucket, "p", patience=Patience(seconds=1.0, first=0.05, longest=0.2))
    proxy.fail("refuse", times=None)
    start = time.monotonic()
    with pytest.raises(TransientError) as caught:
        store.put("x", b"1")
    assert time.monotonic() - start < 3
    assert f"cannot write s3://{bucket}/p/x: " in caught.value.message
    assert f"127.0.0.1:{proxy.port}; gave up after " in caught.value.message
    assert "(limit 1 s)" in caught.value.message
    assert "AWS_ENDPOINT_URL_S3" in (caught.value.hint or "")
    proxy.heal()
    store.put("x", b"1")


def test_a_multipart_upload_outlives_cuts_and_lost_answers(
    proxy: FaultProxy, proxied: S3Store, tmp_path: Path, s3_client: Any, bucket: str
) -> None:
    data = os.urandom(11 << 20)
    (tmp_path / "in").write_bytes(data)
    proxy.fail("lose_answer", containing=b"partNumber=2")
    proxy.fail("cut", after=100_000, containing=b"partNumber=3")
    proxy.fail("lose_answer", containing=b"/p/big?uploads")
    proxy.fail("lose_answer", containing=f"POST /{bucket}/p/big?uploadId".encode())
    proxy.fail("cut", containing=b"GET /")
    proxied.put_file("big", tmp_path / "in")
    proxied.get_file("big", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    assert proxy.injected == ["lose_answer", "lose_answer", "cut", "lose_answer", "cut"]
    assert proxied.sweep(before=time.time()) == 1  # begun by the request whose answer was lost
    assert "Uploads" not in s3_client.list_multipart_uploads(Bucket=bucket)


def test_a_failed_multipart_upload_leaves_nothing(
    proxy: FaultProxy, bucket: str, tmp_path: Path, s3_client: Any
) -> None:
    (tmp_path / "in").write_bytes(bytes(11 << 20))
    store = S3Store(bucket, "p", patience=Patience(seconds=0.3, first=0.05), part=5 << 20)
    proxy.fail("cut", times=None, containing=b"partNumber=2")
    with pytest.raises(TransientError, match="gave up after"):
        store.put_file("big", tmp_path / "in")
    assert store.head("big") is None
    assert "Uploads" not in s3_client.list_multipart_uploads(Bucket=bucket)


def test_a_slow_store_is_waited_for_and_a_black_hole_is_not(proxy: FaultProxy, bucket: str) -> None:
    proxy.fail("delay", seconds=0.3)
    S3Store(bucket, "p", patience=QUICK).put("x", b"1")
    client = boto3.client("s3", config=Config(read_timeout=0.2, retries={"total_max_attempts": 1}))
    store = S3Store(bucket, "p", client, patience=Patience(seconds=0.5, first=0.05))
    proxy.fail("black_hole", times=None)
    start = time.monotonic()
    with pytest.raises(TransientError, match="ReadTimeoutError at 127"):
        store.put("y", b"1")
    assert time.monotonic() - start < 5


class Stub:
    """A client whose every call fails, or behaves, as told."""

    class meta:  # noqa: N801  the name that boto3 gives it
        endpoint_url = "https://user:hunter2@s3.example"

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            outcome = self.outcomes[min(self.calls, len(self.outcomes) - 1)]
            self.calls += 1
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return call


def answer(status: int, code: str) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            answer(403, "ExpiredToken"),
            r"cannot write s3://b/p/x: the credentials have expired \(ExpiredToken\)\n  give",
        ),
        (answer(403, "SignatureDoesNotMatch"), "the secret key is wrong"),
        (answer(403, "InvalidAccessKeyId"), "the access key is not known"),
        (answer(403, "AccessDenied"), r"access denied \(AccessDenied\)\n  the credentials need s3:ListBucket"),
        (answer(403, "SomethingNew"), r"S3 answered 403 \(SomethingNew\)\n  the credentials need"),
        (answer(404, "NoSuchBucket"), r"there is no such bucket \(NoSuchBucket\)\n  create it, or set MTL_STORE"),
        (answer(403, "RequestTimeTooSkewed"), "this machine's clock is wrong"),
        (answer(501, "NotImplemented"), "conditional puts"),
        (answer(400, "EntityTooLarge"), r"S3 answered 400 \(EntityTooLarge\)"),
        (NoCredentialsError(), r"no complete credentials\n  give valid credentials: AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_retrying_cannot_mend_fails_at_once(error: Exception, text: str) -> None:
    client = Stub(error)
    with pytest.raises(PermanentError, match=text) as caught:
        S3Store("b", "p", client).put("x", b"1")
    assert client.calls == 1
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("status", [500, 503, 429, 409, 408])
def test_passing_answers_are_tried_again(status: int) -> None:
    client = Stub(answer(status, "SlowDown"), answer(status, "InternalError"), {})
    S3Store("b", "p", client, patience=QUICK).put("x", b"1")
    assert client.calls == 3


@pytest.mark.parametrize(("status", "code"), [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict")])
def test_a_taken_key_is_an_answer(status: int, code: str) -> None:
    assert not S3Store("b", "p", Stub(answer(status, code))).put_if_absent("x", b"1")


def test_the_time_limit_counts_pauses_and_names_the_last_error() -> None:
    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    patience = Patience(seconds=60, first=1, longest=16, sleep=sleep, clock=lambda: clock[0], jitter=lambda: 1.0)
    client = Stub(answer(503, "SlowDown"))
    with pytest.raises(TransientError, match=r"S3 answered 503 \(SlowDown\); gave up after 7 tries in 47 s \(limit 60"):
        S3Store("b", "p", client, patience=patience).put("x", b"1")
    assert clock[0] == 1 + 2 + 4 + 8 + 16 + 16


def test_no_secret_in_a_transient_error_or_a_repr() -> None:
    store = S3Store("b", "p", Stub(ConnectionResetError("hunter2")), patience=Patience(seconds=0))
    with pytest.raises(TransientError) as caught:
        store.put("x", b"1")
    assert "hunter2" not in f"{caught.value!r} {caught.value} {store!r}"
    assert "ConnectionResetError at s3.example" in caught.value.message


@pytest.mark.parametrize("data", [b"flipped", b"short", b""])
def test_bytes_that_are_not_what_was_put_are_damage(
    s3_store: S3Store, s3_client: Any, bucket: str, tmp_path: Path, data: bytes
) -> None:
    s3_store.put("x", b"correct")
    key = "some/prefix/x"
    metadata = s3_client.head_object(Bucket=bucket, Key=key)["Metadata"]
    s3_client.put_object(Bucket=bucket, Key=key, Body=data, Metadata=metadata)
    with pytest.raises(DamageError, match=f"s3://{bucket}/some/prefix/x is damaged: sha256"):
        s3_store.get("x")
    with pytest.raises(DamageError):
        s3_store.get_file("x", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_objects_of_others_without_our_metadata_can_be_read(s3_store: S3Store, s3_client: Any, bucket: str) -> None:
    s3_client.put_object(Bucket=bucket, Key="some/prefix/x", Body=b"theirs")
    assert s3_store.get("x") == b"theirs"


def test_old_uploads_are_swept(s3_store: S3Store, s3_client: Any, bucket: str) -> None:
    for key in ("some/prefix/a", "other/b"):
        s3_client.create_multipart_upload(Bucket=bucket, Key=key)
    assert s3_store.sweep(before=0) == 0
    assert s3_store.sweep(before=time.time()) == 1
    assert [u["Key"] for u in s3_client.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["other/b"]


def test_lists_go_over_many_pages(s3_client: Any, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = S3Store(bucket, "some/prefix", s3_client)
    for n in range(7):
        store.put(f"k{n}", b"")
    whole = s3_client.list_objects_v2
    monkeypatch.setattr(s3_client, "list_objects_v2", lambda **request: whole(**request, MaxKeys=3))
    assert [info.key for info in store.list("k")] == [f"k{n}" for n in range(7)]


def test_a_missing_bucket_is_named(aws: str) -> None:
    with pytest.raises(PermanentError, match="there is no such bucket"):
        list(S3Store("no-such-bucket").list(""))
    with pytest.raises(PermanentError, match="there is no such bucket"):
        S3Store("no-such-bucket").put("x", b"")
    with pytest.raises((NotFoundError, PermanentError)):
        S3Store("no-such-bucket").get("x")


def test_open_store_reads_the_environment(aws: str, bucket: str) -> None:
    store = open_store(f"s3://{bucket}/a/b")
    store.put("x", b"1")
    assert store.uri == f"s3://{bucket}/a/b"
    assert [info.key for info in open_store(f"s3://{bucket}").list("")] == ["a/b/x"]


def test_credentials_are_read_anew_for_each_store(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3's default session keeps those that it found first."""
    for name in ("first-key", "second-key"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", name)
        assert f"X-Amz-Credential={name}%2F" in S3Store("bucket").presign("x", seconds=60)


@pytest.mark.parametrize("endpoint", ["no url", "http://user:hunter2@:x"])
def test_a_malformed_endpoint_is_named_without_its_password(
    aws: str, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(InputError, match="the AWS_\\* variables give no S3 client") as caught:
        open_store("s3://bucket")
    assert caught.value.field == "AWS_ENDPOINT_URL_S3"
    assert "hunter2" not in str(caught.value)


BODY = os.urandom(3_000_000)
READS = {
    "get": lambda store, folder: store.get("big"),
    "get_range": lambda store, folder: store.get_range("big", 0, end=len(BODY)),
    "get_file": lambda store, folder: (store.get_file("big", folder / "out"), (folder / "out").read_bytes())[1],
}


@pytest.fixture
def impatient_client(proxy: FaultProxy) -> Any:
    """Through the proxy; it gives a silent server up after half a second."""
    config = Config(read_timeout=0.5, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client("s3", config=config)


@pytest.fixture
def impatient(impatient_client: Any, bucket: str, s3_client: Any) -> S3Store:
    """A store that holds BODY as `big`."""
    S3Store(bucket, "p", s3_client).put("big", BODY)
    return S3Store(bucket, "p", impatient_client, patience=QUICK, part=1 << 20)


@pytest.mark.parametrize("kind", ["cut_body", "end_body", "stall_body"])
@pytest.mark.parametrize("read", READS)
def test_a_read_that_breaks_inside_the_body_is_tried_again(
    proxy: FaultProxy, impatient: S3Store, tmp_path: Path, kind: str, read: str
) -> None:
    for after in (0, 100, 700_000):
        proxy.fail(kind, times=1, after=after, containing=b"GET ")
        assert READS[read](impatient, tmp_path) == BODY
    assert proxy.injected == [kind] * 3


def test_a_read_goes_on_where_it_broke(proxy: FaultProxy, impatient: S3Store) -> None:
    """Every connection lets one megabyte through: a read that began anew each time would never end."""
    proxy.fail("end_body", times=None, after=1_000_000, containing=b"GET ")
    assert impatient.get("big") == BODY
    assert 2 <= len(proxy.injected) <= 5


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("kind", ["cut_body", "end_body", "stall_body"])
def test_bodies_that_never_come_whole_are_a_transient_error(
    proxy: FaultProxy, bucket: str, impatient: S3Store, impatient_client: Any, tmp_path: Path, kind: str, read: str
) -> None:
    store = S3Store(bucket, "p", impatient_client, patience=Patience(seconds=0.3, first=0.05), part=1 << 20)
    proxy.fail(kind, times=None, after=100, containing=b"GET ")
    with pytest.raises(TransientError, match=rf"cannot read s3://{bucket}/p/big: \w+ at 127.* gave up after"):
        READS[read](store, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["cut_body", "end_body", "stall_body"])
def test_a_listing_and_a_refusal_that_break_are_tried_again(proxy: FaultProxy, impatient: S3Store, kind: str) -> None:
    proxy.fail(kind, times=1, after=20, containing=b"list-type")
    assert [info.key for info in impatient.list("")] == ["big"]
    proxy.fail(kind, times=1, after=20, containing=b"/p/nothing")
    with pytest.raises(NotFoundError):
        impatient.get("nothing")
    assert proxy.injected == [kind] * 2


def test_an_object_replaced_between_two_parts_of_a_read_is_read_whole(
    proxy: FaultProxy, impatient: S3Store, impatient_client: Any, s3_client: Any, bucket: str
) -> None:
    other = bytes(len(BODY))
    patience = Patience(seconds=5.0, first=0.01, sleep=lambda _: S3Store(bucket, "p", s3_client).put("big", other))
    proxy.fail("end_body", after=1_000_000, containing=b"GET ")
    assert S3Store(bucket, "p", impatient_client, patience=patience).get("big") == other


def test_a_range_behind_the_end_is_damage(impatient: S3Store) -> None:
    for start in (len(BODY) - 10, len(BODY) + 10):
        with pytest.raises(DamageError, match="p/big is damaged"):
            impatient.get_range("big", start, end=len(BODY) + 100)


def test_a_presigned_link_has_a_signature_of_version_4_and_downloads(s3_store: S3Store) -> None:
    s3_store.put("a", b"data")
    link = s3_store.presign("a", seconds=60)
    parameters = parse_qs(urlsplit(link).query)
    assert parameters["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert "/us-east-1/s3/aws4_request" in parameters["X-Amz-Credential"][0]
    assert parameters["X-Amz-Expires"] == ["60"]
    assert httpx.get(link).content == b"data"


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_LINK + 1])
def test_a_link_lasts_up_to_a_week(s3_store: S3Store, seconds: int) -> None:
    assert s3_store.presign("a", seconds=LONGEST_LINK)
    with pytest.raises(InputError, match=rf"links last from 1 second to 604800 seconds \(7 days\), got {seconds}\n"):
        s3_store.presign("a", seconds=seconds)
