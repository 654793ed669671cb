"""Signatures of webhooks: HMAC-SHA256 over id, timestamp and body, as MLflow and the Standard Webhooks rules do it.

signature = "v1," + base64(hmac_sha256(secret, f"{id}.{timestamp}.{body}"))
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re

from mtl.errors import InputError

WINDOW = 300.0
"""Seconds that a post may be old, or ahead of this clock."""
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class SignatureError(InputError):
    """A post that cannot be trusted: unsigned, wrongly signed, or too old."""

    kind = "signature"


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a post."""
    mac = hmac.new(secret.encode(), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def verify(
    secret: str, *, message_id: str, timestamp: str, body: bytes, signature: str, now: float, window: float = WINDOW
) -> None:
    """Errors: SignatureError unless one of the space-separated signatures is right and the post is of now.

    The signature is compared first and in constant time, so that a stranger learns nothing about the clock.
    """
    if not _ID.fullmatch(message_id) or not re.fullmatch(r"\d{1,12}", timestamp):
        raise SignatureError("the post has no proper id and timestamp")
    wanted = sign(secret, message_id, int(timestamp), body)
    # No early end: every signature that was given is compared.
    right = [hmac.compare_digest(wanted.encode(), given.encode()) for given in signature.split()[:8]]
    if not any(right):
        raise SignatureError("the signature is wrong")
    age = now - int(timestamp)
    if not math.fabs(age) <= window:
        raise SignatureError(f"the post is {age:.0f} s old, allowed are {window:.0f}")
