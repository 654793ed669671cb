"""When has a champion got worse?"""

from __future__ import annotations

from typing import Any

import pytest

from mtl.chain.champion import _regressions

DECIDING = {"mcq": "parsed"}


@pytest.mark.parametrize(
    ("now", "then", "floors", "said"),
    [
        ({"parsed": 0.9}, {"parsed": 0.9}, {}, []),
        ({"parsed": 0.86}, {"parsed": 0.9}, {}, []),
        ({"parsed": 0.8}, {"parsed": 0.9}, {}, ["mcq: parsed fell from 0.9000 to 0.8000, more than 0.05"]),
        ({"parsed": 0.8}, {}, {}, []),
        ({"parsed": None}, {"parsed": 0.9}, {}, ["mcq: parsed is missing"]),
        ({"parsed": float("nan")}, {"parsed": 0.9}, {}, ["mcq: parsed is missing"]),
        ({"parsed": 0.9, "rate": 0.1}, {"parsed": 0.9}, {"rate": 0.2}, ["mcq: rate is 0.1000, below its floor 0.2"]),
    ],
)
def test_a_regression_is_said(
    now: dict[str, Any], then: dict[str, Any], floors: dict[str, float], said: list[str]
) -> None:
    assert _regressions({"mcq": now}, {"mcq": then}, DECIDING, {"mcq": floors}, 0.05) == said


def test_a_task_that_is_not_named_is_decided_by_its_first_metric() -> None:
    found = _regressions({"own": {"a": 0.1, "b": 1.0}}, {"own": {"a": 0.5, "b": 1.0}}, {}, {}, 0.05)
    assert found == ["own: a fell from 0.5000 to 0.1000, more than 0.05"]
