"""The laws of the tasks' written forms, through encode and decode of T5's own tokenizer."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mtl.task import BadRow
from mtl.tasks import mcq_rows, summarize
from mtl.tasks.mcq_form import parse, render_target
from mtl.tasks.text import clean
from tests.support.rows import question
from tests.support.words import SHARED, needs_shared, t5_tokenizer

pytestmark = needs_shared
TEXT = st.text(st.sampled_from(" abcdeABCDE.,:;_-'\"?!()0123456789Ééü£%&*+=/\n\t“”’…–"), min_size=1, max_size=30)


def through(text: str) -> str:
    tokenizer = t5_tokenizer()
    return str(tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True))


def held(*texts: str) -> bool:
    """Whether the vocabulary can hold the texts."""
    return all(through(text) == text for text in texts)


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(TEXT, st.lists(TEXT, min_size=4, max_size=4), st.sampled_from("ABCD"))
def test_questions_survive(asked: str, options: list[str], answer: str) -> None:
    try:
        record = mcq_rows.read(question(question=asked, options=options, answer=answer))
    except BadRow:
        assume(False)
        raise
    assume(held(record.question, *record.options))
    item = {"question": record.question, "options": list(record.options), "correct": answer, "difficulty": "Hard"}
    assert parse(through(render_target([item, item]))) == [item, item]


@given(TEXT)
def test_summaries_survive(text: str) -> None:
    kept = clean(text)
    assume(kept and held(kept))
    assert summarize.parse(through(f"Summary: {kept}")) == kept


def test_gaps_quotes_and_markers_survive() -> None:
    row = question(question="He said: “Go   _  !”", options=["George B. Shaw", "plan C.", "½ – 3/4", "Options: it’s…"])
    record = mcq_rows.read(row)
    item = {"question": record.question, "options": list(record.options), "correct": "A", "difficulty": "Easy"}
    assert parse(through(render_target([item]))) == [item]
    assert item["question"] == 'He said: "Go _ !"'
    assert item["options"] == ["George B.Shaw", "plan C", "1/2 - 3/4", "Options : it's..."]


def test_every_real_question_that_the_vocabulary_holds_survives() -> None:
    import gzip

    lost = kept = 0
    with gzip.open(SHARED / "race" / "validation.jsonl.gz") as file:
        for line in file:
            try:
                record = mcq_rows.read(json.loads(line))
            except BadRow:
                continue
            item = {"question": record.question, "options": list(record.options), "correct": "A", "difficulty": "Easy"}
            if not held(record.question, *record.options):
                lost += 1
            else:
                kept += 1
                assert parse(through(render_target([item]))) == [item]
    assert lost <= 0.01 * kept
