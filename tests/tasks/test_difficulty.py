from __future__ import annotations

import gzip
import json
from bisect import bisect_left
from collections import Counter

import pytest

from mtl.sources.demo.corpus import passages
from mtl.task import BadRow
from mtl.tasks import mcq_rows
from mtl.tasks.difficulty import SCHEMES, Reading, ease, evidence, reading
from tests.support.words import SHARED, needs_shared

READ = reading("Tom has a brown dog called Rex. He travelled to Rome in May because he loves old churches.")


def label(level: str, question: str, option: str, *, scheme: str = "overlap-1") -> str:
    return SCHEMES[scheme](level, lambda: READ, question=question, option=option)


def of(record: mcq_rows.Question, read: Reading) -> str:
    return SCHEMES["overlap-1"](record.level, lambda: read, question=record.question, option=record.right)


@pytest.mark.parametrize(
    ("level", "question", "option", "overlap", "levels"),
    [
        ("middle", "Why?", "nothing of this", "Easy", "Easy"),
        ("high", "Tom has a _ .", "brown dog", "Medium", "Medium"),
        ("high", "Where did Tom go?", "to Rome", "Medium", "Medium"),
        ("high", "Why did Tom go there?", "to look at ancient buildings", "Hard", "Medium"),
        ("high", "Which of these is NOT true?", "The dog is black", "Hard", "Medium"),
        ("high", "The best title is _ .", "A holiday", "Hard", "Medium"),
        ("college", "Tom has a _ .", "brown dog", "Hard", "Hard"),
    ],
)
def test_labels(level: str, question: str, option: str, overlap: str, levels: str) -> None:
    assert label(level, question, option) == overlap
    assert label(level, question, option, scheme="levels-1") == levels


def test_what_makes_a_question_easy() -> None:
    assert evidence(READ, "brown dog") > evidence(READ, "dog that is brown") > evidence(READ, "cat") == 0.0
    assert ease(READ, "Tom has a _ .", "brown dog") > ease(READ, "What has Tom?", "brown dog")
    assert ease(READ, "What has Tom?", "brown dog") > ease(READ, "What can we infer?", "brown dog")
    assert evidence(READ, "?") == 0.0


def test_the_demo_corpus_has_medium_gaps_and_hard_thoughts() -> None:
    seen: Counter[tuple[bool, str]] = Counter()
    for row in passages(5, 200):
        record = mcq_rows.read(row)
        if record.level == "high":
            its = of(record, reading(record.passage))
            seen["_" in record.question, its] += 1
    assert set(seen) == {(True, "Medium"), (False, "Hard")}


@needs_shared
def test_on_race_about_two_in_five_high_questions_are_medium_and_middle_ones_are_easier() -> None:
    eases: dict[str, list[float]] = {"middle": [], "high": []}
    labels: Counter[str] = Counter()
    with gzip.open(SHARED / "race" / "validation.jsonl.gz") as file:
        for line in file:
            try:
                record = mcq_rows.read(json.loads(line))
            except BadRow:
                continue
            read = reading(record.passage)
            eases[record.level].append(ease(read, record.question, record.right))
            labels[of(record, read)] += 1
    high = sorted(eases["high"])
    auc = sum(bisect_left(high, value) for value in eases["middle"]) / (len(high) * len(eases["middle"]))
    assert 0.35 < labels["Medium"] / (labels["Medium"] + labels["Hard"]) < 0.45
    assert auc > 0.62
