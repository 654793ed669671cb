from __future__ import annotations

import time
from unittest.mock import patch

import pytest
from hypothesis import given, settings
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
        ("don\x92t say \x93no\x94 here\x85 never \x96 \x80 5", 'don\'t say "no" here... never - € 5'),
        ("a\x81b\x9dc", "a b c"),
        ("The\u200btown\ufeffopened", "The town opened"),
        ("im\u00adpos\u2060si\u200dble \u200eok\u2069", "impossible ok"),
        ("می\u200cخواهم", "میخواهم"),
        (
            "fish &amp; chips &lt;3 &quot;x&quot; it&#39;s&nbsp;5&#x20AC; &#147;q&#148;",
            'fish & chips <3 "x" it\'s 5€ "q"',
        ),
        ("&amp;amp;lt;p&amp;amp;gt;", ""),
        ("1&frac12; km", "1 1/2 km"),
        ("AT&T, Q&A; &copy &nosuch; a & b; c", "AT&T, Q&A; &copy &nosuch; a & b; c"),
        ("<p>One.</p><p>Two<br/>three</p>", "One. Two three"),
        ('<a href="http://x/?a=1&amp;b=2" class=c>link</a> <IMG src="i.png" />end', "link end"),
        ("if a <b and c> d or x<y", "if a <b and c> d or x<y"),
        ("10<sup>2</sup> <table1>", "10< sup>2< /sup> < table1>"),
        ("&lt;/s&gt; &lt;mcq&gt;", "< /s> < mcq>"),
    ],
)
def test_harmless_characters_are_normalised(raw: str, kept: str) -> None:
    assert clean(raw) == kept


@given(st.text(st.one_of(st.characters(max_codepoint=0x24F), st.sampled_from("´¼ ½⁄/1‘’“”…–—‑̃́  "))))
def test_common_characters_are_normalised_one_by_one_as_they_are_together(text: str) -> None:
    with patch.object(text_room, "_alone", lambda char: None):
        together = clean(text)
    assert clean(text) == together


_SIGNS = "&;#<>/b \"'`=\x07\x85\x93\u200b\ufeff\xad＆＜½1é\u0301\u0338_\n"
_PIECES = ["amp;", "lt;", "#38;", "#65286;", "<p>", "</b>", "a href=", "&frac12;", "&shy;", "&#147;", "&nbsp;", "mcq"]
MARKS = st.sampled_from([*_SIGNS, *_PIECES])


@settings(max_examples=300)
@given(st.lists(MARKS, max_size=25).map("".join))
def test_clean_is_idempotent_on_markup_within_markup(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert once == " ".join(once.split())
    assert "<mcq>" not in once and "</s>" not in once


@pytest.mark.parametrize(
    "text",
    ["&" + "amp;" * 40_000, "&#65286;" + "#65286;" * 25_000, "<a " * 60_000, "<p " + "a=b " * 40_000, "&#38;" * 40_000],
    ids=["amp", "wide", "tags", "attributes", "numbers"],
)
def test_markup_made_to_hurt_is_cleaned_in_linear_time(text: str) -> None:
    began = time.monotonic()
    once = clean(text)
    assert clean(once) == once
    assert time.monotonic() - began < 5


@given(st.text())
def test_clean_is_idempotent_and_leaves_one_line(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert once == " ".join(once.split())


MISSING = ("nan", " NaN\n", "None", "NULL", "null", "N/A", "n/a", "NA", "#N/A", "<NA>", "NaT")


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (40, "got number 40, expected text"),
        (1.5, "got number 1.5, expected text"),
        (True, "got boolean True, expected text"),
        (["a", 1], "got number 1, expected text"),
        ({"a": 1}, "got object, expected text"),
        (b"a", "got bytes, expected text"),
        (" .\x1b", "got '.', expected words"),
        ("NaN", "got 'NaN'"),
        ("ж" * 200_001, "got 200001 characters, expected at most 200000"),
    ],
)
def test_a_refusal_names_what_was_received_and_what_was_expected(value: object, detail: str) -> None:
    with pytest.raises(BadRow) as caught:
        read_passage({"article": value}, "article")
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    "text",
    [
        "Новая школа",
        "学校开学了",
        "مدرسة جديدة",
        "हिन्दी में",
        "โรงเรียน",
        "学校",
        "Νέο",
        "შკოლა",
        "דג",
        "ክፍል",
        "학교",
        "4",
    ],
)
def test_letters_of_any_script_are_words(text: str) -> None:
    assert read_passage({"article": text}, "article") == clean(text)
    assert words(text)


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
        ({"article": " _ "}, "empty article"),
        ({"article": "<p></p>"}, "empty article"),
        ({"article": "🙂 ★"}, "empty article"),
        *(({"article": text}, "missing value") for text in (*MISSING, float("nan"))),
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


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Город открыл 2 школы, да.", ["город", "открыл", "2", "школы", "да"]),
        ("हिन्दी में _ लिखा।", ["हिन्दी", "में", "लिखा"]),
        ("学校开了。", ["学", "校", "开", "了"]),
        ("iPhone は新しい", ["iphone", "は", "新", "し", "い"]),
        ("مُدَرِّسَة", ["مُدَرِّسَة"]),
        ("déjà vu", ["d", "j", "vu"]),
    ],
)
def test_words_of_other_scripts_keep_their_marks_and_latin_ones_are_as_rouge_has_them(
    text: str, found: list[str]
) -> None:
    assert words(text) == found


def test_passages_that_differ_in_marks_alone_are_two() -> None:
    assert passage_key("मिल") != passage_key("मेल")
    assert passage_key("Школа, 2!") == passage_key("школа 2")


def test_words_and_stems() -> None:
    assert words("Tom's dog _ ran, 3.5 km") == ["tom's", "dog", "ran", "3", "5", "km"]
    assert stem("planned") == stem("plans") == stem("planning")
    assert stem("cities") == stem("city")
