from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.task import BadRow
from mtl.tasks import text as text_room
from mtl.tasks.text import clean, passage_key, read_passage, read_text, stem, words


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("a\n b\t\tc  ", "a b c"),
        ("“It’s” — he said…", '"It\'s" - he said...'),
        ("1½ of 3/4\u00a0km", "1 1/2 of 3/4 km"),
        ("soft\u00adhyphen\u200b", "softhyphen"),
        ("He went to   _  .", "He went to _ ."),
        ("`code`", "'code'"),
        ("a <mcq> b </s> <extra_id_0> 1 < 2", "a < mcq> b < /s> < extra_id_0> 1 < 2"),
        ("ﬁne ａｂｃ", "fine abc"),
    ],
)
def test_harmless_characters_are_normalised(raw: str, kept: str) -> None:
    assert clean(raw) == kept


@given(st.text(st.one_of(st.characters(max_codepoint=0x24F), st.sampled_from("´¼ ½⁄/1‘’“”…–—‑̃́  "))))
def test_common_characters_are_normalised_one_by_one_as_they_are_together(text: str) -> None:
    with patch.object(text_room, "_alone", lambda char: None):
        together = clean(text)
    assert clean(text) == together


@given(st.text())
def test_clean_is_idempotent_and_leaves_one_line(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "missing value"),
        ({"article": 3}, "wrong type"),
        ({"article": ["a", 3]}, "wrong type"),
        ({"article": "a\x00b"}, "NUL bytes"),
        ({"article": "a\udce9b"}, "not UTF-8"),
        ({"article": "a" * 200_001}, "over length"),
        ({"article": " . \n"}, "empty article"),
    ],
)
def test_text_that_cannot_be_used_says_why(row: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        read_passage(row, "article")
    assert (caught.value.reason, caught.value.field) == (reason, "article")


def test_limit_is_the_callers() -> None:
    with pytest.raises(BadRow, match="over length"):
        read_text({"a": "abcd"}, "a", limit=3)


def test_passages_are_the_same_whatever_their_case_spacing_and_punctuation() -> None:
    assert passage_key("Tom, has a dog.") == passage_key("tom has\na DOG!")
    assert passage_key("Tom has a dog.") != passage_key("Tom has two dogs.")


def test_words_and_stems() -> None:
    assert words("Tom's dog _ ran, 3.5 km") == ["tom's", "dog", "ran", "3", "5", "km"]
    assert stem("planned") == stem("plans") == stem("planning")
    assert stem("cities") == stem("city")
