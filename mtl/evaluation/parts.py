"""A text in parts, so that some of them can be marked in a report."""

from __future__ import annotations

from collections.abc import Sequence


def split_at(text: str, spans: Sequence[tuple[int, int]]) -> list[tuple[str, bool]]:
    """The text in its parts, none of them empty: (part, whether it is one of `spans`, which are in order)."""
    found: list[tuple[str, bool]] = []
    end = 0
    for start, stop in spans:
        found += [(text[end:start], False), (text[start:stop], True)]
        end = stop
    return [(part, marked) for part, marked in [*found, (text[end:], False)] if part]
