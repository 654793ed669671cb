"""Signatures: the one MLflow makes, and everything that must be refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.webhooks.delivery import _generate_hmac_signature  # noqa: PLC2701  # what MLflow signs with, held against ours

from mtl.service.signing import SignatureError, sign, verify

SECRET = "a long enough secret"
BODY = b'{"a": 1}'


def check(**other: object) -> None:
    given = {"message_id": "m-1", "timestamp": "1000", "body": BODY, "now": 1000.0}
    given |= {"signature": sign(SECRET, "m-1", 1000, BODY)} | other
    verify(SECRET, **given)  # type: ignore[arg-type]


def test_it_is_the_signature_of_mlflow() -> None:
    assert sign(SECRET, "m-1", 1000, BODY) == _generate_hmac_signature(SECRET, "m-1", "1000", BODY.decode())
    check()
    check(signature=f"v1,other {sign(SECRET, 'm-1', 1000, BODY)}")  # while a secret is being changed


@pytest.mark.parametrize(
    "other",
    [
        {"body": b'{"a": 2}'},
        {"message_id": "m-2"},
        {"timestamp": "1001"},
        {"signature": ""},
        {"signature": sign("another secret", "m-1", 1000, BODY)},
        {"signature": sign(SECRET, "m-1", 1000, BODY).removeprefix("v1,")},
        {"signature": "v1,ü"},
    ],
)
def test_anything_changed_is_refused(other: dict[str, object]) -> None:
    with pytest.raises(SignatureError, match="the signature is wrong"):
        check(**other)


@pytest.mark.parametrize("now", [1301.0, 699.0])
def test_what_is_not_of_now_is_refused(now: float) -> None:
    with pytest.raises(SignatureError, match="s old, allowed are 300"):
        check(now=now)


@pytest.mark.parametrize(
    ("name", "value"), [("message_id", "../x"), ("message_id", ""), ("timestamp", "-1"), ("timestamp", "1e3")]
)
def test_no_proper_id_or_timestamp(name: str, value: str) -> None:
    with pytest.raises(SignatureError, match="no proper id and timestamp"):
        check(**{name: value})


@given(st.text(), st.text(), st.binary(), st.text())
def test_whatever_is_sent_it_is_a_signature_error(message_id: str, timestamp: str, body: bytes, signature: str) -> None:
    with pytest.raises(SignatureError):
        verify(SECRET, message_id=message_id, timestamp=timestamp, body=body, signature=signature, now=0.0)
