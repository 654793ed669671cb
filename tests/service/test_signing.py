"""Signatures: the one MLflow makes, and everything that must be refused."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.webhooks.delivery import _generate_hmac_signature  # noqa: PLC2701  # what MLflow signs with, held against ours
from standardwebhooks.webhooks import Webhook

from mtl.service.signing import WebhookSignatureError, sign, verify

SECRET = "a long enough secret"
BODY = b'{"a": 1}'


@pytest.fixture
def now() -> int:
    """The time of the test and not of its collection: a signature is refused after five minutes."""
    return int(time.time())


def check(now: int, **other: str | bytes) -> None:
    given: dict[str, Any] = {"message_id": "m-1", "timestamp": str(now), "body": BODY}
    given |= {"signature": sign(SECRET, "m-1", now, BODY)} | other
    verify(SECRET, **given)


def test_it_is_the_signature_of_mlflow_and_of_standard_webhooks(now: int) -> None:
    assert sign(SECRET, "m-1", now, BODY) == _generate_hmac_signature(SECRET, "m-1", str(now), BODY.decode())
    key = "whsec_" + base64.b64encode(SECRET.encode()).decode()
    assert sign(SECRET, "m-1", now, BODY) == Webhook(key).sign("m-1", datetime.fromtimestamp(now, UTC), BODY.decode())
    check(now)
    check(now, signature=f"v1,b3RoZXI= {sign(SECRET, 'm-1', now, BODY)}")  # while a secret is being changed


def test_a_signature_that_was_made_by_earlier_releases_is_the_same() -> None:
    """Receivers and senders need no change: the value is from before the library was used."""
    assert sign(SECRET, "m-1", 1000, BODY) == "v1,EzlTJX+IIusDaV8ZoNOjqzNarYCmZG19HDqmqKXktCY="


@pytest.mark.parametrize(
    "change",
    [
        lambda now: {"body": b'{"a": 2}'},
        lambda now: {"body": b"\xff"},
        lambda now: {"message_id": "m-2"},
        lambda now: {"timestamp": str(now + 1)},
        lambda now: {"signature": ""},
        lambda now: {"signature": sign("another secret", "m-1", now, BODY)},
        lambda now: {"signature": sign(SECRET, "m-1", now, BODY).removeprefix("v1,")},
        lambda now: {"signature": "v1,ü"},
    ],
)
def test_anything_changed_is_refused(now: int, change: Callable[[int], dict[str, str | bytes]]) -> None:
    with pytest.raises(WebhookSignatureError, match="the signature is wrong"):
        check(now, **change(now))


@pytest.mark.parametrize("seconds", [-310, 600])
def test_what_is_not_of_now_is_refused(now: int, seconds: int) -> None:
    at = now + seconds
    with pytest.raises(WebhookSignatureError, match="s old, allowed are 300"):
        check(now, timestamp=str(at), signature=sign(SECRET, "m-1", at, BODY))


@pytest.mark.parametrize(
    ("name", "value"), [("message_id", "../x"), ("message_id", ""), ("timestamp", "-1"), ("timestamp", "1e3")]
)
def test_no_proper_id_or_timestamp(now: int, name: str, value: str) -> None:
    with pytest.raises(WebhookSignatureError, match="no proper id and timestamp"):
        check(now, **{name: value})


@given(st.text(), st.text(), st.binary(), st.text())
def test_whatever_is_sent_it_is_a_signature_error(message_id: str, timestamp: str, body: bytes, signature: str) -> None:
    with pytest.raises(WebhookSignatureError):
        verify(SECRET, message_id=message_id, timestamp=timestamp, body=body, signature=signature)
