from __future__ import annotations

from typing import Any

import pytest

from mtl.parameter import Parameter

COUNT = Parameter("count", "", 3, low=1, high=9)
FROM_0 = Parameter("count", "", 0, low=0)
SHARE = Parameter("share", "", 0.5, low=0, high=1)
INSIDE = Parameter("share", "", 0.5, low=0, high=1, open=True)
STYLE = Parameter("style", "", "plain", choices=("plain", "formal"))
FLAG = Parameter("flag", "", False)


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        (COUNT, [1, 9], [0, 10, 1.0, "3", True, None]),
        (FROM_0, [0, 10**9], [-1]),
        (SHARE, [0, 0.5, 1.0], [1.5, "x", True, float("nan")]),
        (INSIDE, [0.5], [0, 1]),
        (STYLE, ["plain", "formal"], ["", "Plain", 1]),
        (FLAG, [True, False], [0, 1, "true"]),
    ],
)
def test_what_it_allows(parameter: Parameter, good: list[Any], bad: list[Any]) -> None:
    assert all(map(parameter.allows, good))
    assert not any(map(parameter.allows, bad))


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (COUNT, "a whole number from 1 to 9"),
        (FROM_0, "a whole number from 0 on"),
        (SHARE, "a number from 0 to 1"),
        (INSIDE, "a number, the ends excluded, from 0 to 1"),
        (STYLE, "one of plain, formal"),
        (FLAG, "true or false"),
        (Parameter("title", "", ""), "a text"),
    ],
)
def test_what_it_must_be_in_words(parameter: Parameter, expected: str) -> None:
    assert parameter.expected == expected
