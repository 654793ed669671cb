from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mtl.evaluation.parts import split_at


def test_a_text_is_split_at_its_spans() -> None:
    assert split_at("abcde", [(1, 2), (2, 3)]) == [("a", False), ("b", True), ("c", True), ("de", False)]
    assert split_at("abc", [(0, 3)]) == [("abc", True)]
    assert split_at("abc", []) == [("abc", False)]
    assert split_at("", []) == []


@given(st.text(), st.lists(st.integers(0, 20), max_size=8))
def test_the_parts_are_the_text(text: str, places: list[int]) -> None:
    ends = sorted(min(place, len(text)) for place in places)
    spans = list(zip(ends[::2], ends[1::2], strict=False))
    assert "".join(part for part, _ in split_at(text, spans)) == text
