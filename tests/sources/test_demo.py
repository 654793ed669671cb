"""The demo corpus: the Hub's schemas, repeatable, and keys that follow from what the passage says."""

import random
from typing import Any

import pytest

from mtl.sources.demo import facts, passages
from mtl.sources.demo.articles import EVENTS, build
from mtl.sources.demo.corpus import BOTH_LEVELS, articles, readings
from mtl.sources.demo.corpus import passages as rows_of
from mtl.sources.demo.facts import KINDS
from mtl.sources.demo.world import GLOSSES, POOLS


def _rows(seed: int, count: int) -> list[dict[str, Any]]:
    return list(rows_of(seed, count))


def test_articles_have_the_schema_of_cnn_dailymail() -> None:
    for row in articles(1, 50):
        assert set(row) == {"article", "highlights", "id"}
        assert all(isinstance(value, str) for value in row.values())
        assert row["highlights"].count("\n") == 1


def test_rows_have_the_schema_of_race() -> None:
    for row in _rows(1, 50):
        assert set(row) == {"example_id", "article", "question", "options", "answer"}
        assert row["example_id"].startswith(("middle", "high")) and row["example_id"].endswith(".txt")
        assert row["answer"] in "ABCD"


def test_four_distinct_options() -> None:
    assert all(len(row["options"]) == len(set(row["options"])) == 4 for row in _rows(2, 300))


def test_letters_are_evenly_spread() -> None:
    answers = [row["answer"] for row in _rows(3, 400)]
    assert all(0.2 < answers.count(letter) / len(answers) < 0.3 for letter in "ABCD")


def test_documents_repeat_and_do_not_depend_on_the_count() -> None:
    assert _rows(4, 20) == _rows(4, 20)
    assert _rows(4, 30)[: len(_rows(4, 20))] == _rows(4, 20)
    assert list(articles(4, 30))[:20] == list(articles(4, 20))


def test_seeds_share_no_document() -> None:
    assert not {row["article"] for row in _rows(5, 500)} & {row["article"] for row in _rows(6, 500)}
    assert not {row["article"] for row in articles(5, 500)} & {row["article"] for row in articles(6, 500)}


def test_no_document_comes_twice_and_ids_are_unique() -> None:
    news = list(articles(7, 1000))
    assert len({row["article"] for row in news}) == len({row["id"] for row in news}) == 1000


def test_most_passages_have_questions_of_both_levels() -> None:
    levels: dict[str, set[str]] = {}
    for row in _rows(8, 400):
        levels.setdefault(row["article"], set()).add(row["example_id"].rstrip("0123456789.tx"))
    share = sum(found == {"middle", "high"} for found in levels.values()) / len(levels)
    assert abs(share - BOTH_LEVELS) < 0.07


def test_two_in_five_high_questions_about_long_passages_are_gaps() -> None:
    high = [row for row in _rows(9, 400) if row["example_id"].startswith("high") and row["article"].count(". ") > 1]
    assert 0.38 < sum("_" in row["question"] for row in high) / len(high) < 0.42
    assert not any("_" in row["question"] for row in _rows(9, 400) if row["example_id"].startswith("middle"))


def test_easy_and_gap_answers_stand_in_the_passage() -> None:
    for row in _rows(10, 300):
        if row["example_id"].startswith("middle") or "_" in row["question"]:
            assert row["options"]["ABCD".index(row["answer"])] in row["article"]


@pytest.mark.parametrize("depth", passages.DEPTHS)
def test_the_right_option_follows_from_the_fact_and_the_wrong_ones_do_not(depth: str) -> None:
    for seed in range(150):
        rng = random.Random(seed)
        passage = passages.build(rng)
        for question in passages.questions(rng, passage, depth):
            true = _true_answers(question.fact, question.slot, depth)
            assert question.options["ABCD".index(question.letter)] == question.right
            assert question.right in true and not true & set(question.wrong)


def _true_answers(fact: facts.Fact, slot: str, depth: str) -> set[str]:
    """What is true of a slot, worked out from the tables without `passages`."""
    if depth != "deep":
        return {fact.values[slot]}
    kind = KINDS[fact.kind]
    stated = {fact.fill(template) for template, _ in kind.again}
    if slot not in GLOSSES:
        return stated
    gloss = GLOSSES[slot][fact.values[slot]]
    return stated | {fact.fill(option, {"gloss": gloss}) for _, option, asked in kind.deep if asked == slot}


def test_a_passage_gives_a_value_to_one_fact_only() -> None:
    for seed in range(300):
        passage = passages.build(random.Random(seed))
        assert all(len(set(passage.values(slot))) == len(passage.values(slot)) for slot in ("town", "job", "day"))


def test_passages_support_enough_questions_of_each_depth() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        passage = passages.build(rng)
        enough = {"easy": 3, "gap": 2, "deep": 3}
        for depth, count in enough.items():
            found = passages.select(rng, passages.questions(rng, passage, depth), count)
            assert len(found) == len({question.text for question in found}) == count


def test_highlights_name_what_the_article_says() -> None:
    for seed in range(300):
        article, highlights = build(random.Random(seed))
        words = set(article.replace(",", " ").replace(".", " ").split())
        names = {w for w in " ".join(highlights).rstrip(".").replace(".", "").split() if w in POOLS["companion"]}
        assert names <= words


def test_every_gloss_is_one_value_only() -> None:
    assert all(len(set(table.values())) == len(table) and set(table) == set(POOLS[s]) for s, table in GLOSSES.items())


def test_every_event_has_its_fields() -> None:
    assert all(len(event.details) == 4 for event in EVENTS.values())


def test_the_answers_to_every_question_that_may_be_asked_are_known() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        passage = passages.build(rng)
        known = passages.answers(passage)
        asked = [question for depth in passages.DEPTHS for question in passages.questions(rng, passage, depth)]
        assert all(question.right in known[question.text] for question in asked)
        assert all(known[question.text].isdisjoint(question.wrong) for question in asked if question.depth != "deep")


def test_readings_are_the_passages_of_the_rows() -> None:
    assert list(dict.fromkeys(row["article"] for row in _rows(11, 30))) == [p.text for p in readings(11, 30)]
