"""Selection and judgement apart: a property of a passage's hash, whatever else is in the data."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.data.selection import chooses, passage_of

KEYS = [hashlib.sha256(str(number).encode()).hexdigest()[:16] for number in range(4000)]


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 0.9])
def test_about_the_configured_share_chooses(share: float) -> None:
    found = sum(chooses(key, share) for key in KEYS) / len(KEYS)
    assert abs(found - share) < 4 * (share * (1 - share) / len(KEYS)) ** 0.5


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_those_that_chose_before(key: str, one: float, other: float) -> None:
    assert chooses(key, max(one, other)) or not chooses(key, min(one, other))


@given(st.text())
def test_none_and_all(key: str) -> None:
    assert (chooses(key, 0.0), chooses(key, 1.0)) == (False, True)


@pytest.mark.parametrize(
    ("key", "share"), [("0123456789abcdef", 0.2562), ("fedcba9876543210", 0.9891), ("a" * 16, 0.5539)]
)
def test_a_passage_stays_on_its_side_for_good(key: str, share: float) -> None:
    """Under another rule, a champion would be judged by passages that its checkpoint was chosen on."""
    assert (chooses(key, share), chooses(key, share + 0.0001)) == (False, True)


@pytest.mark.parametrize(
    ("meta", "found"),
    [({"passage": "0123"}, "0123"), ({"passage": "0123", "window": 2}, "0123"), ({"request": {}}, "uid")],
)
def test_examples_go_by_their_passage(meta: dict[str, object], found: str) -> None:
    assert passage_of(meta, "uid") == found
