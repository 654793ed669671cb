"""Signatures: the one MLflow makes, and everything that must be refused."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.webhooks.delivery import _generate_hmac_signature  # noqa: PLC2701  # what MLflow signs with, held against ours
from standardwebhooks.webhooks import Webhook

from mtl.service.signing import SignatureError, sign, verify

SECRET = "a long enough secret"
BODY = b'{"a": 1}'


NOW = int(time.time())


def check(**other: str | bytes) -> None:
    given: dict[str, Any] = {"message_id": "m-1", "timestamp": str(NOW), "body": BODY}
    given |= {"signature": sign(SECRET, "m-1", NOW, BODY)} | other
    verify(SECRET, **given)


def test_it_is_the_signature_of_mlflow_and_of_standard_webhooks() -> None:
    assert sign(SECRET, "m-1", NOW, BODY) == _generate_hmac_signature(SECRET, "m-1", str(NOW), BODY.decode())
    key = "whsec_" + base64.b64encode(SECRET.encode()).decode()
    assert sign(SECRET, "m-1", NOW, BODY) == Webhook(key).sign("m-1", datetime.fromtimestamp(NOW, UTC), BODY.decode())
    check()
    check(signature=f"v1,b3RoZXI= {sign(SECRET, 'm-1', NOW, BODY)}")  # while a secret is being changed


def test_a_signature_that_was_made_by_earlier_releases_is_the_same() -> None:
    """Receivers and senders need no change: the value is from before the library was used."""
    assert sign(SECRET, "m-1", 1000, BODY) == "v1,EzlTJX+IIusDaV8ZoNOjqzNarYCmZG19HDqmqKXktCY="


@pytest.mark.parametrize(
    "other",
    [
        {"body": b'{"a": 2}'},
        {"body": b"\xff"},
        {"message_id": "m-2"},
        {"timestamp": str(NOW + 1)},
        {"signature": ""},
        {"signature": sign("another secret", "m-1", NOW, BODY)},
        {"signature": sign(SECRET, "m-1", NOW, BODY).removeprefix("v1,")},
        {"signature": "v1,ü"},
    ],
)
def test_anything_changed_is_refused(other: dict[str, str | bytes]) -> None:
    with pytest.raises(SignatureError, match="the signature is wrong"):
        check(**other)


@pytest.mark.parametrize("seconds", [-310, 600])
def test_what_is_not_of_now_is_refused(seconds: int) -> None:
    at = NOW + seconds
    with pytest.raises(SignatureError, match="s old, allowed are 300"):
        check(timestamp=str(at), signature=sign(SECRET, "m-1", at, BODY))


@pytest.mark.parametrize(
    ("name", "value"), [("message_id", "../x"), ("message_id", ""), ("timestamp", "-1"), ("timestamp", "1e3")]
)
def test_no_proper_id_or_timestamp(name: str, value: str) -> None:
    with pytest.raises(SignatureError, match="no proper id and timestamp"):
        check(**{name: value})


@given(st.text(), st.text(), st.binary(), st.text())
def test_whatever_is_sent_it_is_a_signature_error(message_id: str, timestamp: str, body: bytes, signature: str) -> None:
    with pytest.raises(SignatureError):
        verify(SECRET, message_id=message_id, timestamp=timestamp, body=body, signature=signature)
