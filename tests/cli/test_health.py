"""mtl status as a person reads it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from mtl.cli.health import status_text


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_hour_that_comes_twice_is_told_apart(berlin: None) -> None:
    """In the night to 25 October 2026 clocks show half past two twice, and in that to 28 March 2027 not at all."""
    moments = ["2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00", "2027-03-28T01:30:00+00:00"]
    status = {
        "stack": "up",
        "warnings": [],
        "champion": None,
        "disk": {"free": 1e12, "path": "/"},
        "addresses": {},
        "queue": None,
        "server": None,
        "served": None,
        "next": [{"at": moment, "deployment": "retrain/nightly"} for moment in moments],
        "runs": [],
    }
    said = status_text(status)
    shown = ["2026-10-25 02:30 CEST", "2026-10-25 02:30 CET", "2027-03-28 03:30 CEST"]
    assert [moment for moment in shown if f"{moment:<21}  retrain/nightly" in said] == shown
