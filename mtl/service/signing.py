"""Signatures of webhooks, by the rules of Standard Webhooks, which MLflow follows too.

signature = "v1," + base64(hmac_sha256(key, f"{id}.{timestamp}.{body}"))

The key is the text of the setting as it stands, as MLflow takes it; a library that wants `whsec_...` gets
"whsec_" + base64(key).
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from mtl.errors import InputError

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_WINDOW = 300  # seconds, by Standard Webhooks
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class WebhookSignatureError(InputError):
    """A post that cannot be trusted: unsigned, wrongly signed, or more than five minutes old or ahead."""

    kind = "signature"


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a post, whose body is text in UTF-8."""
    return Webhook(secret.encode()).sign(message_id, datetime.fromtimestamp(timestamp, UTC), body.decode())


def verify(secret: str, *, message_id: str, timestamp: str, body: bytes, signature: str) -> None:
    """Errors: WebhookSignatureError unless one of the space-separated signatures is right and the post is of now."""
    if not _ID.fullmatch(message_id) or not _TIMESTAMP.fullmatch(timestamp):
        raise WebhookSignatureError("the post has no proper id and timestamp")
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    try:
        Webhook(secret.encode()).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: a signature or a body that is no text of its kind
        age = time.time() - int(timestamp)
        old = f"the post is {age:.0f} s old, allowed are {_WINDOW}"
        raise WebhookSignatureError(old if abs(age) > _WINDOW else "the signature is wrong") from None
