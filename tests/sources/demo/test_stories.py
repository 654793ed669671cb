"""News and short texts among the passages: what they say, and that the key of each question about them is right."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from transformers import AutoTokenizer

from mtl.model.base import resolve_base
from mtl.sources.demo import articles, passages, portraits, stories
from mtl.sources.demo.corpus import NEWS, SHORT, readings
from mtl.sources.demo.corpus import passages as rows_of
from mtl.sources.demo.facts import fields
from mtl.sources.demo.news import KINDS, POOLS
from mtl.sources.demo.passages import Passage, Question
from mtl.tasks import mcq_rows
from mtl.tasks.difficulty import MEDIUM_FROM, ease, reading

Build = Callable[[random.Random], Passage]
BUILDERS = (stories.article, stories.short)


def _made(build: Build, count: int) -> list[tuple[Passage, list[Question]]]:
    found = []
    for seed in range(count):
        rng = random.Random(seed)
        passage = build(rng)
        found.append((passage, [q for depth in passages.DEPTHS for q in passages.questions(rng, passage, depth)]))
    return found


def test_an_article_is_one_of_the_articles() -> None:
    for seed in range(100):
        assert stories.article(random.Random(seed)).text == articles.build(random.Random(seed))[0]


def test_a_short_text_is_the_highlights_of_an_article() -> None:
    people = 0
    for seed in range(400):
        rng = random.Random(seed)
        about_people = rng.random() < portraits.SHARE
        people += about_people
        assert stories.short(random.Random(seed)).text == " ".join(
            (portraits if about_people else articles).build(rng)[1]
        )
    assert 60 < people < 140


def test_shares_of_the_passages() -> None:
    kinds = Counter(
        "short" if stories.is_short(p) else "news" if p.facts[0].kind in KINDS else "people" for p in readings(1, 2000)
    )
    assert abs(kinds["news"] / 2000 - NEWS) < 0.04 and abs(kinds["short"] / 2000 - SHORT) < 0.03


@pytest.mark.parametrize("build", BUILDERS)
def test_a_question_is_answered_by_its_own_sentence(build: Build) -> None:
    for passage, asked in _made(build, 300):
        for question in asked:
            sentence = next(sentence for sentence in passage.sentences if sentence.fact is question.fact)
            assert question.fact.values[question.slot] in sentence.text
            assert question.options["ABCD".index(question.letter)] == question.right
            assert len(set(question.options)) == 4
            if question.depth != "deep":
                assert question.right == question.fact.values[question.slot]


@pytest.mark.parametrize("build", BUILDERS)
def test_a_question_names_only_what_the_text_says(build: Build) -> None:
    for passage, asked in _made(build, 300):
        words = set(passage.text.replace(".", " ").replace(",", " ").split())
        for question in asked:
            own = question.text.replace("?", " ").replace("'s", " ").split()
            assert {word for word in own if word.isdigit() or word in POOLS["who"]} <= words


@pytest.mark.parametrize("build", BUILDERS)
def test_the_answers_to_every_question_that_may_be_asked_are_known(build: Build) -> None:
    for passage, asked in _made(build, 300):
        known = passages.answers(passage)
        assert {question.text for question in asked} <= set(known)
        for question in asked:
            assert question.right in known[question.text] and known[question.text].isdisjoint(question.wrong)


def test_every_event_supports_enough_questions_of_each_depth() -> None:
    seen = set()
    for build, enough in ((stories.article, (3, 2, 3)), (stories.short, (2, 2, 2))):
        for seed in range(400):
            rng = random.Random(seed)
            passage = build(rng)
            seen.add(passage.facts[0].kind)
            for depth, count in zip(passages.DEPTHS, enough, strict=True):
                found = passages.select(rng, passages.questions(rng, passage, depth), count)
                assert len(found) == len({question.text for question in found}) == count
    assert seen == {*articles.EVENTS, "work"}


def test_the_gaps_of_a_short_text_ask_for_its_names_and_numbers() -> None:
    """A summary is checked by gap questions (`check_request` of mcq): all that may be swapped must be among them."""
    for passage, asked in _made(stories.short, 400):
        if passage.facts[0].kind in KINDS:
            gaps = {question.slot for question in asked if question.depth == "gap"}
            stated = {slot for fact in passage.facts for slot in fact.values}
            assert stated & {"who", "town", "rival", "day", "until", "month", "n", "big"} <= gaps


def test_letters_are_evenly_spread() -> None:
    letters = Counter(question.letter for build in BUILDERS for _, asked in _made(build, 400) for question in asked)
    assert all(0.2 < letters[letter] / letters.total() < 0.3 for letter in "ABCD")


def test_gaps_are_medium_and_deep_questions_hard() -> None:
    for passage, asked in (made for build in BUILDERS for made in _made(build, 150)):
        read = reading(passage.text)
        for question in asked:
            if question.depth != "easy":
                medium = ease(read, question.text, question.right) >= MEDIUM_FROM
                assert medium == (question.depth == "gap"), (question.text, question.right)


def test_all_rows_can_be_read() -> None:
    for row in rows_of(2, 150):
        mcq_rows.read(row)


def test_every_field_of_a_question_is_a_field_of_its_event() -> None:
    assert set(KINDS) == set(articles.EVENTS)
    for name, event in articles.EVENTS.items():
        told = {slot for texts in (event.lead, *event.details) for text in texts for slot in fields(text)}
        kind = KINDS[name]
        for *texts, slot in (*kind.asks, *kind.gaps, *kind.again, *kind.deep):
            assert slot in told & set(POOLS)
            assert {found for text in texts for found in fields(text)} <= told | {"N", "He", "s", "p", "gloss"}


def test_the_questions_are_made_of_words_of_the_demo_base() -> None:
    """Each word is one token, so that the questions are short and a base can go on with its own tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(resolve_base("demo").location)
    rows = [row for kind in KINDS.values() for row in (*kind.asks, *kind.gaps, *kind.again, *kind.deep)]
    for text in (text for row in rows for text in row[:-1]):
        filled = text.format_map(dict.fromkeys(fields(text), "Tom")).replace("?", "").replace(".", "").replace("'s", "")
        for word in filled.split():
            assert word == "_" or len(tokenizer.tokenize(word)) == 1, f"{word!r} in {text!r}"
