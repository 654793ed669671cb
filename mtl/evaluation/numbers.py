"""How measured values are written for people: in one place, so that pages, tables and sentences agree."""

from __future__ import annotations

import math

NONE = "–"
"""What stands where there is no value."""


def number(value: float | None, *, digits: int = 3, none: str = NONE, not_finite: str = "not finite") -> str:
    """`0.912`; words where there is no value, or none that is finite."""
    if value is None:
        return none
    return f"{value:.{digits}f}" if math.isfinite(value) else not_finite


def difference(mean: float, low: float, high: float, *, digits: int = 3) -> str:
    """`+0.031 [+0.012, +0.050]`: a difference and its interval."""
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
