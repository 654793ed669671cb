"""A sealed document is what was written, or damage: whichever byte rots."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mtl.errors import DamageError
from mtl.fingerprint import canonical_json
from mtl.seal import seal, unseal

DOCUMENT: dict[str, Any] = {
    "identity": "a" * 64,
    "steps": 6,
    "loss": {"mcq": 15.97},
    "words": 'Änderung \\ " x',
    "no": None,
}


def read(data: bytes, *, unsealed: bool = False) -> dict[str, Any]:
    return unseal(data, "result.json", hint="train again", unsealed=unsealed)


def test_keys_stay_as_they_are_and_a_check_is_added() -> None:
    document = json.loads(seal(DOCUMENT))
    assert len(document.pop("check")) == 64
    assert document == DOCUMENT
    assert read(seal(DOCUMENT)) == DOCUMENT
    assert seal(json.loads(seal(DOCUMENT))) == seal(DOCUMENT)


def test_a_document_of_an_earlier_version_is_read_where_that_is_asked_for() -> None:
    assert read(canonical_json(DOCUMENT), unsealed=True) == DOCUMENT
    with pytest.raises(DamageError, match=r"result.json is damaged: its bytes are not what was written\n  train again"):
        read(canonical_json(DOCUMENT))


@pytest.mark.parametrize("unsealed", [False, True])
def test_every_bit_that_flips_is_seen(unsealed: bool) -> None:
    data = seal(DOCUMENT)
    for place in range(len(data)):
        for bit in range(8):
            rotten = bytearray(data)
            rotten[place] ^= 1 << bit
            assert not survives(bytes(rotten), unsealed), (place, bit, bytes(rotten))


@pytest.mark.parametrize("unsealed", [False, True])
def test_every_cut_and_every_zeroed_range_is_seen(unsealed: bool) -> None:
    data = seal(DOCUMENT)
    for start in range(len(data)):
        assert not survives(data[:start], unsealed)
        for length in (1, 16, 64):
            end = min(start + length, len(data))
            assert not survives(data[:start] + bytes(end - start) + data[end:], unsealed)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"1", b'"x"', b"{}", b'{"check": 1}', b"\xff\xfe", b"[" * 100_000]
)
def test_what_is_no_document_is_damage(data: bytes) -> None:
    with pytest.raises(DamageError):
        read(data)


def survives(data: bytes, unsealed: bool) -> bool:
    """Whether damaged bytes are read as another document."""
    try:
        return read(data, unsealed=unsealed) != DOCUMENT
    except DamageError:
        return False
