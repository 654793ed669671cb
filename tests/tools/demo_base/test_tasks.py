"""The pre-training mix: it has news and short texts, and neither of the service's two tasks."""

import random
import re
from collections import Counter

from mtl.sources.demo import articles, news, portraits, stories
from mtl.sources.demo.passages import Passage, answers
from tools.demo_base import marking, tasks
from tools.demo_base.material import NEWS, SHORT, Material

QUESTIONING = (
    marking.spot,
    marking.exam,
    marking.propose,
    tasks.answer,
    tasks.ask,
    tasks.choose,
    tasks.evidence,
    tasks.guess,
    tasks.judge,
    tasks.lay_out,
    tasks.mislead,
    tasks.rate,
)


def _material(seed: str) -> Material:
    return Material(random.Random(seed))


def _kind(passage: Passage) -> str:
    if not passage.facts[0].known:
        return "people"
    return "short" if stories.is_short(passage) else "news"


def test_shares_of_the_passages() -> None:
    made = [_material(f"shares:{index}").passage for index in range(1500)]
    kinds = Counter(_kind(passage) for passage in made)
    assert abs(kinds["news"] / 1500 - NEWS) < 0.04 and abs(kinds["short"] / 1500 - SHORT) < 0.04


def test_every_task_with_questions_has_news_and_short_texts() -> None:
    for task in QUESTIONING:
        seen = set()
        for index in range(150):
            m = _material(f"{task.__name__}:{index}")
            inputs, targets = task(m.rng, m)
            assert inputs and targets
            seen.add((_kind(m.passage), m.passage.facts[0].kind in news.KINDS))
        assert seen == {("people", False), ("news", True), ("short", True), ("short", False)}


def test_each_answer_is_right() -> None:
    for index in range(400):
        m = _material(f"right:{index}")
        question = m.question()
        assert question.right in answers(m.passage)[question.text]


def test_a_claim_that_is_judged_true_is_told_in_other_words() -> None:
    for index in range(300):
        m = _material(f"judge:{index}")
        inputs, verdict = tasks.judge(m.rng, m)
        claim = re.sub(r"^\w+ or \w+\? ", "", inputs).split(" Text: ")[0]
        assert (claim in {text for right in answers(m.passage).values() for text in right}) == (
            verdict in ("true", "yes", "right")
        )


def test_no_example_writes_the_highlights_of_its_article() -> None:
    """Highlights are read, and never written where the article is given."""
    forms = [event.highlights for event in articles.EVENTS.values()]
    patterns = [re.compile(" ".join(re.sub(r"\{\w+\}", r"[\\w ]+", text) for text in both)) for both in forms]
    for index in range(3000):
        inputs, targets = tasks.example(3, 60_000 + index)
        for pattern in patterns:
            for found in pattern.findall(targets):
                assert found in inputs


def test_a_summary_of_a_person_is_only_read() -> None:
    lead = re.compile(r"\w+ makes a living as a \w+ in \w+\.")
    assert any(lead.search(" ".join(portraits.build(random.Random(seed))[1])) for seed in range(3))
    for index in range(3000):
        inputs, targets = tasks.example(4, 60_000 + index)
        assert all(found in inputs for found in lead.findall(targets))
