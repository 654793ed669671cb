"""What S3 says, in the words of mtl.errors: transient, permanent, missing, or taken.

Messages name the operation, the place and S3's error code, and nothing that could hold a secret: the original
exceptions are not chained.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  botocore's own, the base of its connection errors
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError as TransportError

from mtl.certificates import certificate_fault
from mtl.errors import DamageError, MtlError, NotFoundError, PermanentError, TransientError

_BROKEN = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    ResponseParserError,
    TransportError,  # urllib3's, where botocore reads a body without translating them
    OSError,
)
_CREDENTIALS = (
    "give valid credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN if temporary)"
)
_PERMISSION = (
    "the credentials need s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject and "
    "s3:AbortMultipartUpload on the prefix"
)
_KEY = "the credentials need kms:Decrypt and kms:GenerateDataKey for the bucket's key, and the key must be enabled"
_REGION = "set AWS_REGION to the region of the bucket, and AWS_ENDPOINT_URL_S3 to its endpoint if it is not on AWS"
_BY_STATUS = {
    301: _REGION,
    400: "the store does not say why: check AWS_REGION, this machine's clock, and whether credentials have expired",
    401: _CREDENTIALS,
    403: _PERMISSION,
    507: "the store has no space left: delete what is not needed (mtl checkpoints prune --yes) or give it more",
}
_MISSING = {"NoSuchKey", "404", "NotFound"}
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_TRANSIENT = {
    *("RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests"),
    *("BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"),  # the request was garbled on its way
}
_TRANSIENT_STATUS = {408, 409, 425, 429, *(set(range(500, 600)) - {501, 505, 507})}
_PERMANENT: dict[str, tuple[str, str]] = {
    "AccessDenied": ("access denied", _PERMISSION),
    "403": ("access denied", f"{_PERMISSION}; or they are wrong or have expired"),
    "AllAccessDisabled": ("access to the bucket is disabled", _PERMISSION),
    "InvalidAccessKeyId": ("the access key is not known", _CREDENTIALS),
    "SignatureDoesNotMatch": ("the secret key is wrong", _CREDENTIALS),
    "ExpiredToken": ("the credentials have expired", _CREDENTIALS),
    "TokenRefreshRequired": ("the credentials have expired", _CREDENTIALS),
    "InvalidToken": ("the session token is not valid", _CREDENTIALS),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "set the clock (NTP), then run the same command again"),
    "RequestExpired": ("this machine's clock is wrong", "set the clock (NTP), then run the same command again"),
    "KMS.DisabledException": ("the key that encrypts the bucket is disabled", _KEY),
    "KMS.NotFoundException": ("the key that encrypts the bucket does not exist", _KEY),
    "KMS.AccessDeniedException": ("the key that encrypts the bucket may not be used", _KEY),
    "KMS.KMSInvalidStateException": ("the key that encrypts the bucket cannot be used now", _KEY),
    "NoSuchBucket": ("there is no such bucket", "create it, or set MTL_STORE to s3://bucket/prefix of one that exists"),
    "PermanentRedirect": ("the bucket is in another region", "set AWS_REGION to the region of the bucket"),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", "set AWS_REGION to the region of the bucket"),
    "QuotaExceeded": ("the quota of the bucket is used up", "raise the quota or delete what is not needed"),
    "NotImplemented": (
        "this store cannot do it",
        "conditional puts (If-None-Match) and multipart uploads are needed: use AWS S3, Ceph, or another that has them",
    ),
}
_PERMANENT["ExpiredTokenException"] = _PERMANENT["ExpiredToken"]


class Taken(Exception):
    """A conditional put found the key taken (412), or lost against one in progress (409)."""


@contextlib.contextmanager
def s3_errors(operation: str, where: str, *, endpoint: str, conditional: bool = False) -> Iterator[None]:
    """Turns botocore's errors into MtlError, or into Taken if `conditional`. where: the s3:// address meant."""
    try:
        yield
    except ClientError as error:
        raise _translate(error, operation, where=where, conditional=conditional) from None
    except (NoCredentialsError, PartialCredentialsError):
        raise PermanentError(f"cannot {operation} {where}: no complete credentials", hint=_CREDENTIALS) from None
    except _BROKEN as error:
        untrusted = certificate_fault(error, server=host(endpoint), variable="AWS_CA_BUNDLE")
        if untrusted is not None:
            raise untrusted from None
        cause = f"{type(error).__name__} at {host(endpoint)}"
        raise TransientError(
            f"cannot {operation} {where}: {cause}",
            hint="check that the endpoint (AWS_ENDPOINT_URL_S3) is right and up; "
            "then run the same command again: it goes on where it stopped",
        ) from None
    except BotoCoreError as error:
        raise PermanentError(f"cannot {operation} {where}: {type(error).__name__}", hint="check AWS_*") from None


def host(endpoint: str) -> str:
    """Host and port of an endpoint, without user name and password."""
    return urlsplit(endpoint).netloc.rpartition("@")[2] or "the endpoint"


def _translate(error: ClientError, operation: str, *, where: str, conditional: bool) -> MtlError | Taken:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    what = f"cannot {operation} {where}"
    if code in _PERMANENT:
        cause, hint = _PERMANENT[code]
        return PermanentError(f"{what}: {cause} ({code})", hint=hint)
    if code in _MISSING or status == 404:
        return NotFoundError(f"no object {where}", field=where)
    if conditional and code in _TAKEN:
        return Taken()
    if status == 416:  # the range begins behind the end
        return DamageError(f"{where} is damaged: it is shorter than it was", field=where)
    if code in _TRANSIENT or status in _TRANSIENT_STATUS:
        return TransientError(f"{what}: S3 answered {status} ({code})")
    advice = _PERMANENT["NotImplemented"][1] if status == 501 else _BY_STATUS.get(status)
    return PermanentError(f"{what}: S3 answered {status} ({code})", hint=advice)
