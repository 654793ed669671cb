"""A text in parts, so that some of them can be marked in a report."""

from __future__ import annotations

from collections.abc import Sequence

UNSUPPORTED = (
    "Names, numbers and dates that are not in the inputs are marked with {mark}. They may be invented: check them "
    "before you approve."
)
"""What a report says above texts of which some parts are marked."""


def split_at(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[str, bool]]:
    """The text in its parts, none of them empty: (part, whether it is one of `spans`, which are in order)."""
    found: list[tuple[str, bool]] = []
    end = 0
    for start, stop in spans:
        found += [(text[end:start], False), (text[start:stop], True)]
        end = stop
    return [(part, marked) for part, marked in [*found, (text[end:], False)] if part]
