"""S3Store: objects below a prefix of an S3 bucket, on AWS or any store with conditional puts (Ceph, MinIO, ...).

Credentials, region and endpoint come from the standard AWS_* variables. Every request has a timeout and every call a
limit on its total time, retries included. The sha256 of an object is kept in its metadata and checked on reading:
servers do not check it for us, and some forget to check MD5 too.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from mtl.errors import DamageError, InputError, NotFoundError, PermanentError, TransientError
from mtl.fingerprint import sha256_bytes, sha256_file
from mtl.store.base import ObjectInfo, check_key, check_prefix
from mtl.store.files import disk_errors, open_source, written_aside
from mtl.store.retry import Patience, persist
from mtl.store.s3_errors import Taken, s3_errors

T = TypeVar("T")

MIB = 1 << 20
_PIECE = 1 << 18
_MOST_PARTS = 9000  # S3 allows 10,000
_SHA256 = "sha256"
LONGEST_LINK = 7 * 24 * 3600
"""Seconds that a presigned link may last: the limit of S3's signature version 4."""


class S3Store:
    """Objects of `s3://bucket/prefix`. Safe for many processes and threads at once.

    client: a boto3 S3 client; by default one from the environment, with timeouts of its own and no retries of its own
    (they are made here, within `patience`). patience: seconds for one call, or a Patience. part: size in bytes above
    which uploads and downloads go in parts of that size.
    Errors: PermanentError for credentials and permissions, at once; TransientError once the time is up; DamageError
    for bytes that are not what was put.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        client: Any = None,
        *,
        patience: float | Patience = 300.0,
        part: int = 16 * MIB,
    ) -> None:
        if not bucket:
            raise InputError("no bucket given", field="MTL_STORE", hint="s3://bucket/prefix")
        self._bucket = bucket
        self._prefix = check_prefix(prefix.strip("/"))
        self._client = client or make_client()
        self._patience = patience if isinstance(patience, Patience) else Patience(seconds=patience)
        self._part = part

    def __repr__(self) -> str:
        return f"S3Store({self.uri!r})"

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def get(self, key: str) -> bytes:
        """The whole object. DamageError if it is not what was put."""
        arrived = self._read(key, Arrived())
        data = bytes(arrived.data)
        self._check(key, arrived.answer, size=len(data), sha256=sha256_bytes(data))
        return data

    def get_file(self, key: str, path: Path) -> None:
        """In ranges to a file aside, each retried by itself; checked, then renamed to `path`."""
        answer = self._call("read", key, lambda: self._client.head_object(**self._at(key)))
        size, digest = int(answer["ContentLength"]), hashlib.sha256()
        with written_aside(path) as file:
            for start in range(0, size, self._part):
                part = self._read(key, Arrived(start, min(start + self._part, size)))
                if part.answer["ETag"] != answer["ETag"]:
                    raise DamageError(f"{self._where(key)} was replaced while it was read", field=key)
                digest.update(part.data)
                file.write(part.data)
            self._check(key, answer, size=size, sha256=digest.hexdigest())

    def get_range(self, key: str, start: int, *, end: int) -> bytes:
        """Bytes `start` to `end` (not included) of an object; nothing checks them but the reader."""
        return bytes(self._read(key, Arrived(start, end)).data)

    def presign(self, key: str, *, seconds: int) -> str:
        """A link by which anybody can read the object for so long. It holds a signature: keep it out of logs.

        Errors: InputError for more than a week, the longest that signatures of version 4 last.
        """
        if not 0 < seconds <= LONGEST_LINK:
            raise InputError(
                f"links last from 1 second to {LONGEST_LINK} seconds (7 days), got {seconds}",
                field="seconds",
                hint="S3 allows no more; ask for new links later",
            )
        link: str = self._client.generate_presigned_url("get_object", Params=self._at(key), ExpiresIn=seconds)
        return link

    def put(self, key: str, data: bytes) -> None:
        self._call("write", key, lambda: self._put(key, data))

    def put_file(self, key: str, path: Path) -> None:
        """In one request up to the part size, in parts above it."""
        with open_source(path) as source, disk_errors("read", path):
            size = path.stat().st_size
            if size <= self._part:
                self.put(key, source.read())
            else:
                self._put_parts(key, source.read, size=size, sha256=sha256_file(path))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """False also if an own try got through and its answer was lost: mtl.store.log tells these apart."""
        try:
            self._call("write", key, lambda: self._put(key, data, IfNoneMatch="*"), conditional=True)
        except Taken:
            return False
        return True

    def head(self, key: str) -> ObjectInfo | None:
        try:
            answer = self._call("look at", key, lambda: self._client.head_object(**self._at(key)))
        except NotFoundError:
            return None
        return ObjectInfo(key, int(answer["ContentLength"]), answer["LastModified"].timestamp())

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with `prefix`, in key order; a page of up to 1,000 is read at a time."""
        start = f"{self._prefix}/" if self._prefix else ""
        request = {"Bucket": self._bucket, "Prefix": start + check_prefix(prefix)}
        while True:
            page = self._call("list", prefix, partial(self._client.list_objects_v2, **request))
            for item in page.get("Contents", ()):
                key, modified = item["Key"][len(start) :], item["LastModified"].timestamp()
                yield ObjectInfo(key, int(item["Size"]), modified, item.get("ETag", ""))
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        self._call("delete", key, lambda: self._client.delete_object(**self._at(key)))

    def now(self) -> float:
        """From the head of an answer, in whole seconds."""
        request = {"Bucket": self._bucket, "Prefix": f"{self._prefix}/" if self._prefix else "", "MaxKeys": 1}
        answer = self._call("list", "", partial(self._client.list_objects_v2, **request))
        date = str(answer["ResponseMetadata"]["HTTPHeaders"].get("date", ""))
        try:
            return parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError):
            raise PermanentError(f"{self.uri} does not say what time it is: its Date is {date!r}") from None

    def sweep(self, *, before: float) -> int:
        """Abort multipart uploads below the prefix that were started before `before`. Returns how many."""
        request = {"Bucket": self._bucket, "Prefix": f"{self._prefix}/" if self._prefix else ""}
        swept = 0
        while True:
            page = self._call("list uploads in", "", partial(self._client.list_multipart_uploads, **request))
            for upload in page.get("Uploads", ()):
                if upload["Initiated"].timestamp() < before:
                    at = {"Bucket": self._bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                    with contextlib.suppress(NotFoundError):  # completed or aborted meanwhile
                        self._call("abort an upload in", "", partial(self._client.abort_multipart_upload, **at))
                        swept += 1
            if not page.get("IsTruncated"):
                return swept
            request |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}/{check_key(key)}".lstrip("/")}

    def _where(self, key: str) -> str:
        return f"{self.uri}/{key}"

    def _check(self, key: str, answer: dict[str, Any], *, size: int, sha256: str) -> None:
        """DamageError unless what was read is what an object's headers say."""
        if problem := _problem(answer, size, sha256):
            raise DamageError(f"{self._where(key)} is damaged: {problem}", field=key)

    def _call(self, operation: str, key: str, request: Callable[[], T], *, conditional: bool = False) -> T:
        """`request()` with errors translated and passing ones retried within the patience."""
        endpoint = self._client.meta.endpoint_url

        def attempt() -> T:
            with s3_errors(operation, self._where(key), endpoint=endpoint, conditional=conditional):
                return request()

        return persist(attempt, self._patience)

    def _read(self, key: str, arrived: Arrived) -> Arrived:
        """Have all of it arrive; what arrived before a connection broke is not read again."""
        read = partial(self._client.get_object, **self._at(key))
        self._call("read", key, lambda: arrived.go_on(read, self._where(key)))
        return arrived

    def _put(self, key: str, data: bytes, **condition: str) -> None:
        self._client.put_object(
            **self._at(key), Body=data, ContentMD5=_md5(data), Metadata={_SHA256: sha256_bytes(data)}, **condition
        )

    def _put_parts(self, key: str, read: Callable[[int], bytes], *, size: int, sha256: str) -> None:
        """A multipart upload; aborted if it fails, so that no part stays behind unless this process is killed."""
        at = self._at(key)
        create = partial(self._client.create_multipart_upload, **at, Metadata={_SHA256: sha256})
        upload = self._call("write", key, create)["UploadId"]
        try:
            length = max(self._part, -(-size // _MOST_PARTS))
            parts: list[dict[str, Any]] = []
            while data := read(length):
                number = len(parts) + 1
                request = partial(self._client.upload_part, **at, UploadId=upload, PartNumber=number, Body=data)
                answer = self._call("write", key, partial(request, ContentMD5=_md5(data)))
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            finish = partial(self._client.complete_multipart_upload, **at, UploadId=upload)
            self._complete(key, partial(finish, MultipartUpload={"Parts": parts}), size=size, sha256=sha256)
        except BaseException:
            with contextlib.suppress(Exception):  # the error that led here matters more, and `sweep` comes later
                self._client.abort_multipart_upload(**at, UploadId=upload)
            raise

    def _complete(self, key: str, request: Callable[[], Any], *, size: int, sha256: str) -> None:
        """Complete an upload, then look: a lost answer to a completion that took makes its repetition fail."""
        failure: NotFoundError | None = None
        try:
            self._call("write", key, request)
        except NotFoundError as error:  # NoSuchUpload
            failure = error
        answer = self._call("look at", key, lambda: self._client.head_object(**self._at(key)))
        if _problem(answer, size, sha256) or _SHA256 not in answer.get("Metadata", {}):
            raise TransientError(f"cannot write {self._where(key)}: it was not completed") from failure


class Arrived:
    """What arrived so far of an object, or of its bytes `start` to `end`; `answer` is the first answer's head."""

    def __init__(self, start: int = 0, end: int | None = None) -> None:
        self._start, self._end = start, end
        self.data = bytearray()
        self.answer: dict[str, Any] = {}

    def go_on(self, read: Callable[..., dict[str, Any]], where: str) -> None:
        """One request for what is missing. Errors: TransientError if the object was replaced meanwhile (then all of it
        is missing again), DamageError if it ends too early, and those of the connection."""
        if self.answer and len(self.data) == self._length:
            return
        answer = read(**self._range())
        with contextlib.closing(answer["Body"]) as body:  # as a context manager it would be urllib3's, with its errors
            if answer["ETag"] != (self.answer or answer)["ETag"]:
                self.data.clear()
                self.answer = {}
                raise TransientError(f"cannot read {where}: it was replaced meanwhile")
            missing = int(answer["ContentLength"])
            self.answer = self.answer or answer
            if len(self.data) + missing != self._length:
                raise DamageError(f"{where} is damaged: {missing} bytes came instead of {self._length}", field=where)
            for piece in body.iter_chunks(_PIECE):
                self.data += piece

    @property
    def _length(self) -> int:
        return int(self.answer["ContentLength"]) if self._end is None else self._end - self._start

    def _range(self) -> dict[str, str]:
        position = self._start + len(self.data)
        if position == 0 and self._end is None:
            return {}
        return {"Range": f"bytes={position}-{'' if self._end is None else self._end - 1}"}


def _problem(answer: dict[str, Any], size: int, sha256: str) -> str:
    """What does not fit between an object's headers and what was read or written; '' if all does."""
    if int(answer["ContentLength"]) != size:
        return f"{size} bytes instead of {answer['ContentLength']}"
    kept = answer.get("Metadata", {}).get(_SHA256, sha256)
    return "" if kept == sha256 else f"sha256 {sha256} instead of {kept}"


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def make_client() -> Any:
    """A boto3 client from the environment, with timeouts and without retries of its own.

    Stores other than AWS are addressed by path: they rarely have wildcard DNS.
    """
    options: dict[str, Any] = {
        "connect_timeout": 5,
        "read_timeout": 20,
        "retries": {"total_max_attempts": 1},
        "max_pool_connections": 16,
        "signature_version": "s3v4",  # else presigned links have version 2, which newer regions and stores refuse
        "request_checksum_calculation": "when_required",  # older compatible stores refuse the CRC trailers
        "response_checksum_validation": "when_required",
    }
    try:
        session = boto3.Session()  # not the default one, which keeps the credentials that it found first
        client = session.client("s3", config=Config(**options))
        if ".amazonaws.com" in client.meta.endpoint_url:
            return client
        return session.client("s3", config=Config(**options, s3={"addressing_style": "path"}))
    except (BotoCoreError, ValueError) as error:  # its text may hold the endpoint with a password in it
        raise InputError(
            f"the AWS_* variables give no S3 client: {type(error).__name__}",
            field="AWS_ENDPOINT_URL_S3",
            hint="check AWS_ENDPOINT_URL_S3 (http://host:port), AWS_REGION and AWS_PROFILE",
        ) from None
