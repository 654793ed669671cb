from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.example import Example
from mtl.task import BadRequest, BadRow, RenderOptions
from mtl.tasks import summarize
from mtl.tasks.text import clean, words
from tests.support.rows import article


def options(*, limit: int = 100, training: bool = False, dropout: float = 0.0) -> RenderOptions:
    """A token is a word."""
    return RenderOptions(
        seed=3,
        training=training,
        instruction_dropout=dropout,
        max_target_tokens=limit,
        count=lambda text: len(text.split()) + 1,
    )


def test_prompt_and_target() -> None:
    (example,) = summarize.render(summarize.read(article(4)), options()).examples
    assert example.inputs == (
        "<summarize> Summarize the following article: Town 4 opened a school on Monday. It cost 4 million."
    )
    assert example.targets == "Summary: Town 4 opens school. It costs 4 million."
    assert summarize.bare(example.inputs).startswith("<summarize> Town 4")


@given(st.text())
def test_what_is_rendered_is_read_back(text: str) -> None:
    kept = clean(text)
    if kept:
        assert summarize.parse(f"Summary: {kept}") == kept


@pytest.mark.parametrize("text", ["", "Summary:", "summary: x", "MCQs: 1.", "A Summary: x"])
def test_another_kind_of_answer_is_none(text: str) -> None:
    assert summarize.parse(text) is None


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"article": "\n"}, "empty article", "article"),
        ({"highlights": " . "}, "empty highlights", "highlights"),
        ({"highlights": None}, "missing value", "highlights"),
        ({"highlights": 5}, "wrong type", "highlights"),
        ({"article": "a\x00b"}, "NUL bytes", "article"),
        ({"article": "nan"}, "missing value", "article"),
        ({"highlights": "None"}, "missing value", "highlights"),
        ({"highlights": "_ . _"}, "empty highlights", "highlights"),
    ],
)
def test_a_bad_row_says_why_and_where(change: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(BadRow) as caught:
        summarize.read(article(**change))
    assert (caught.value.reason, caught.value.field) == (reason, field)


@pytest.mark.parametrize(
    ("highlights", "kept"),
    [
        ("Новая школа открылась\nПришли люди", "Новая школа открылась. Пришли люди."),
        ("हिन्दी\nदो।", "हिन्दी. दो।"),
        ("学校开了。\n人来了", "学校开了。 人来了."),
        ("\x93No\x94, he said\x85 never\nTwo", '"No", he said... never. Two.'),
        ("Town\u200bopened", "Town opened."),
        ("<p>One.</p>\n<p>Two &amp; three</p>", "One. Two & three."),
        ("It is _", "It is _."),
    ],
)
def test_highlights_of_any_script_end_as_sentences_do(highlights: str, kept: str) -> None:
    assert summarize.read(article(highlights=highlights)).highlights == kept


def test_a_summary_in_another_script_is_scored_by_its_own_words() -> None:
    row = article(article="Город открыл новую школу. Пришли люди.", highlights="Новая школа открылась в понедельник")
    (example,) = summarize.render(summarize.read(row), options()).examples
    assert summarize.score(example, example.targets)["rougeLsum"] == 1.0
    assert summarize.score(example, example.targets)["length"] == 5.0
    half = summarize.score(example, "Summary: Новая школа сгорела")
    assert half["rouge1"] == pytest.approx(2 * 2 / (3 + 5))
    assert summarize.score(example, "Summary: A school")["rouge1"] == 0.0


def test_one_summary_an_article() -> None:
    rows = [article(1), article(1), article(1, highlights="Something else")]
    kept, dropped = summarize.join([summarize.read(row) for row in rows])
    assert kept == summarize.read(article(1))
    assert [(index, bad.reason) for index, bad in dropped] == [(1, "duplicate"), (2, "second summary")]


def test_a_summary_is_never_cut() -> None:
    rendered = summarize.render(summarize.read(article(highlights="long " * 200)), options())
    assert not rendered.examples
    assert [(index, bad.reason) for index, bad in rendered.dropped] == [(0, "highlights over max_target_tokens")]


def test_instruction_is_dropped_in_the_configured_share_of_training() -> None:
    records = [summarize.read(article(i)) for i in range(400)]
    inputs = [summarize.render(r, options(training=True, dropout=0.25)).examples[0].inputs for r in records]
    share = sum(text.startswith("<summarize> Town") for text in inputs) / len(inputs)
    assert 0.18 < share < 0.32


def test_requests() -> None:
    assert summarize.prompt("a\nb", {}) == "<summarize> Summarize the following article: a b"
    with pytest.raises(BadRequest, match="summarize takes no 'easy'"):
        summarize.TASK.complete({"easy": 1})
    with pytest.raises(BadRequest, match="the article is empty"):
        summarize.prompt(" ", {})


def test_scores() -> None:
    (example,) = summarize.render(summarize.read(article(4)), options()).examples
    perfect = summarize.score(example, example.targets)
    assert set(perfect) == {metric.name for metric in summarize.TASK.metrics}
    judged = {metric.name for metric in summarize.TASK.metrics if metric.higher_is_better is not None}
    judged -= {"consistent"}  # which takes a reader
    assert {perfect[name] for name in judged} == {perfect["length_ratio"]} == {1.0}
    assert perfect["length"] == len(words(example.targets)) - 1
    other = summarize.score(example, "MCQs: 1. Question: town")
    assert other["kind_obeyed"] == 0.0
    assert other["rouge1"] is not None and other["rouge1"] < 0.5
    assert summarize.score(example, "")["length_ratio"] == 0.0
    assert words(example.targets)


@pytest.mark.parametrize(("summary", "copied"), [("Town is a place", 0.0), ("", None)])
def test_copying_is_measured_against_the_article(summary: str, copied: float | None) -> None:
    text = "Seven boats left the harbour at dawn and came back empty."
    inputs = summarize.prompt(text, {})
    for form in (inputs, summarize.bare(inputs)):
        example = Example(form, "Summary: Boats left.", "summarize", "u")
        assert summarize.score(example, f"Summary: {summary}")["copied"] == copied
        assert summarize.score(example, f"Summary: {text}")["copied"] == 1.0


def test_names_and_numbers_that_the_article_does_not_have_lower_supported_and_are_found() -> None:
    inputs = summarize.prompt("Seven boats left Oslo on Monday. Ann Lee saw them.", {})
    for form in (inputs, summarize.bare(inputs)):
        example = Example(form, "Summary: 7 boats left Oslo.", "summarize", "u")
        assert summarize.score(example, "Summary: 7 boats left Oslo.")["supported"] == 1
        assert summarize.score(example, "Summary: 9 boats left Bonn.")["supported"] == 0
        assert summarize.score(example, "Summary: boats left.")["supported"] is None
        text = "Summary: 9 boats left Oslo, Ann Doe said."
        assert [text[start:end] for start, end in summarize.unsupported(form, text)] == ["9", "Doe"]


def test_what_a_summary_claims_of_its_article() -> None:
    example = Example(summarize.prompt("Seven boats.", {}), "Summary: Boats.", "summarize", "u")
    assert summarize.claim(example, "Summary: Boats left.") == ("Seven boats.", "Boats left.")
    assert summarize.claim(example, "Boats left.") is None
