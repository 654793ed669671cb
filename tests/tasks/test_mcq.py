from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.task import BadRequest, BadRow, RenderOptions
from mtl.tasks import mcq, mcq_rows
from mtl.tasks.mcq_form import parse
from tests.support.rows import question

REQUESTS = {"all": 0.4, "one": 0.2, "level": 0.2, "subset": 0.2}


def options(*, training: bool = False, limit: int = 400, dropout: float = 0.0, **more: Any) -> RenderOptions:
    """A token is a word."""
    its = {"scheme": "overlap-1", "requests": REQUESTS, "requests_per_passage": 2, **more}
    return RenderOptions(
        seed=3,
        training=training,
        instruction_dropout=dropout,
        max_target_tokens=limit,
        count=lambda text: len(text.split()) + 1,
        options=its,
    )


def passage(*rows: dict[str, Any]) -> mcq.Passage:
    joined, _ = mcq.join([mcq_rows.read(row) for row in rows])
    assert joined is not None
    return joined


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"article": " "}, "empty article", "article"),
        ({"article": None}, "missing value", "article"),
        ({"question": ""}, "no question", "question"),
        ({"question": None}, "missing value", "question"),
        ({"question": "a\x00"}, "NUL bytes", "question"),
        ({"options": None}, "missing value", "options"),
        ({"options": {"a": 1}}, "wrong type", "options"),
        ({"options": "a, b"}, "wrong type", "options"),
        ({"options": ["a", "b", "c", 4]}, "wrong type", "options"),
        ({"options": ["a", "b", "c"]}, "fewer than four options", "options"),
        ({"options": list("abcde")}, "more than four options", "options"),
        ({"options": ["a", "b", "c", " "]}, "empty option", "options"),
        ({"options": ["a", "b", "c", "A "]}, "repeated option", "options"),
        ({"answer": "E"}, "answer outside A-D", "answer"),
        ({"answer": "AB"}, "answer outside A-D", "answer"),
        ({"answer": 2}, "wrong type", "answer"),
        ({"example_id": "1.txt"}, "no level", "level"),
        ({"level": "primary"}, "unknown level", "level"),
        ({"level": "nan", "example_id": "1"}, "no level", "level"),
        ({"question": "nan"}, "missing value", "question"),
        ({"options": "NaN"}, "missing value", "options"),
        ({"options": float("nan")}, "missing value", "options"),
        ({"options": ["a", "b", "c", None]}, "missing value", "options"),
        ({"options": ["a", "b", "c", float("nan")]}, "missing value", "options"),
        ({"options": ["a", "b", "c", "<br>"]}, "empty option", "options"),
        ({"options": ["a", "b", "c", "&nbsp;"]}, "empty option", "options"),
        ({"options": ["a", "b", "R&D", "R&amp;D"]}, "repeated option", "options"),
        ({"answer": "None"}, "missing value", "answer"),
    ],
)
def test_a_bad_row_says_why_and_where(change: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(BadRow) as caught:
        mcq_rows.read(question(**change))
    assert (caught.value.reason, caught.value.field) == (reason, field)


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"example_id": "middle1.txt"}, "middle"),
        ({"example_id": "RACE/train/high/132.txt"}, "high"),
        ({"example_id": "7", "hub_config": "high"}, "high"),
        ({"example_id": "middle1.txt", "level": "college"}, "college"),
    ],
)
def test_level(fields: dict[str, Any], level: str) -> None:
    assert mcq_rows.read(question(**fields)).level == level


def test_options_may_be_written_as_text() -> None:
    plain = mcq_rows.read(question())
    names = question()["options"]
    assert mcq_rows.read(question(options=json.dumps(names))) == plain == mcq_rows.read(question(options=repr(names)))


@pytest.mark.parametrize(
    "written",
    [
        ["A. a dog", "B. a cat", "C. a cow", "D. a hen"],
        ["(A) a dog", "(B) a cat", "(C) a cow", "(D) a hen"],
        ["a) a dog", "b) a cat", "c) a cow", "d) a hen"],
        ["A: a dog", "B: a cat", "C: a cow", "D: a hen"],
        ["[A] a dog", "[B] a cat", "[C] a cow", "[D] a hen"],
        ["A.a dog", "B.a cat", "C.a cow", "D.a hen"],
        ["Ａ．a dog", "Ｂ．a cat", "Ｃ．a cow", "Ｄ．a hen"],
        ["A、a dog", "B、a cat", "C、a cow", "D、a hen"],
        ["A - a dog", "B – a cat", "C - a cow", "D - a hen"],
        ["<p>A. a dog</p>", "B. a cat", " C. a cow", "D. a&nbsp;hen"],
    ],
)
def test_letters_that_options_bring_along_are_taken_off(written: list[str]) -> None:
    assert mcq_rows.read(question(options=written)) == mcq_rows.read(question())


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (["A. x", "B. y", "C. z", "v"], ("A.x", "B.y", "C.z", "v")),
        (["B. x", "A. y", "C. z", "D. v"], ("B.x", "A.y", "C.z", "D.v")),
        (["A-level", "B-movie", "C-section", "D-day"], ("A-level", "B-movie", "C-section", "D-day")),
        (["A dog", "B cat", "C cow", "D hen"], ("A dog", "B cat", "C cow", "D hen")),
        (["A.", "B.", "C.", "D."], ("A", "B", "C", "D")),
        (["a", "b", "c", "d"], ("a", "b", "c", "d")),
    ],
)
def test_letters_are_left_where_not_all_four_bring_them_in_order(written: list[str], kept: tuple[str, ...]) -> None:
    assert mcq_rows.read(question(options=written)).options == kept


def test_options_that_differ_in_their_letters_alone_are_repeated() -> None:
    with pytest.raises(BadRow, match="repeated option"):
        mcq_rows.read(question(options=["A. yes", "B. yes", "C. no", "D. never"]))


@pytest.mark.parametrize(
    "written",
    [
        ["None", "One", "Two", "Three"],
        ["None of the above", "All of the above", "N/A", "a"],
        ["null", "NaN", "undefined", "0"],
    ],
)
def test_what_reads_like_nothing_may_be_an_option(written: list[str]) -> None:
    assert mcq_rows.read(question(options=written)).options == tuple(written)


def test_options_that_the_model_cannot_tell_apart_are_dropped() -> None:
    rows = [question(1, options=["x < 3", "x ≤ 3", "x { 3", "x } 3"]), question(2)]
    seen = dataclasses.replace(options(), tokens=lambda text: "".join(c if c.isalnum() else "?" for c in text))
    rendered = mcq.render(passage(*rows), seen)
    ((index, bad),) = rendered.dropped
    assert (index, bad.reason, bad.field) == (0, "options encode to the same tokens", "options")
    assert "vocabulary lacks" in bad.detail
    assert rendered.labels == {1: "Easy"} and "number 2" in rendered.examples[0].targets
    alone = mcq.render(passage(rows[0]), seen)
    assert not alone.examples and len(alone.dropped) == 1


def test_a_high_question_in_another_script_is_labelled_by_its_evidence() -> None:
    rows = [
        question(1, passage="Город открыл новую школу. Пришли люди.", question="Город открыл _ .", answer="B",
                 options=["мост", "новую школу", "парк", "дом"], example_id="high1.txt"),
        question(2, passage="Город открыл новую школу. Пришли люди.", question="Город закрыл _ .",
                 options=["мост", "театр", "парк", "дом"], example_id="high1.txt"),
    ]  # fmt: skip
    assert mcq.render(passage(*rows), options()).labels == {0: "Medium", 1: "Hard"}


def test_markers_in_running_text_are_defused() -> None:
    read = mcq_rows.read(
        question(question="Options: A. x 1. Question: y", options=["George B. Shaw", "plan C.", "D. Day", "e"])
    )
    assert read.question == "Options : A.x 1. Question : y"
    assert read.options == ("George B.Shaw", "plan C", "D.Day", "e")


def test_a_question_is_a_duplicate_whatever_the_order_of_its_options() -> None:
    first, again = (
        mcq_rows.read(question()),
        mcq_rows.read(question(options=["a hen", "a cow", "a cat", "a dog"], answer="D")),
    )
    joined, dropped = mcq.join([first, again, mcq_rows.read(question(2))])
    assert joined is not None and [index for index, _ in joined.questions] == [0, 2]
    assert [(index, bad.reason) for index, bad in dropped] == [(1, "duplicate")]


def test_one_example_holds_all_questions_easy_before_hard() -> None:
    rows = [
        question(1, example_id="high1.txt", question="Why did he go?", options=["for love", "by car", "no", "yes"]),
        question(2),
        question(3, example_id="high1.txt", question="Tom has _ ."),
    ]
    rendered = mcq.render(passage(*rows), options())
    (example,) = rendered.examples
    assert example.inputs == ("<mcq> Generate MCQs (Easy: 1, Medium: 1, Hard: 1): Tom has a dog. He lives in Rome.")
    assert example.targets == (
        "MCQs: 1. Question: Question number 2 is _ . Options: A. a dog B. a cat C. a cow D. a hen "
        "Correct: A Difficulty: Easy "
        "2. Question: Tom has _ . Options: A. a dog B. a cat C. a cow D. a hen Correct: A Difficulty: Medium "
        "3. Question: Why did he go? Options: A. for love B. by car C. no D. yes Correct: A Difficulty: Hard"
    )
    assert example.meta["request"] == {"easy": 1, "medium": 1, "hard": 1}
    assert rendered.labels == {0: "Hard", 1: "Easy", 2: "Medium"}
    assert list(mcq.group(example)) == ["Easy", "Medium", "Hard"]


@given(st.integers(1, 9), st.integers(25, 120), st.booleans())
def test_targets_fit_hold_whole_questions_and_as_many_as_the_inputs_say(n: int, limit: int, training: bool) -> None:
    levels = ["middle1.txt", "high1.txt"]
    rows = [question(i, example_id=levels[i % 2], question=f"Q {i} " + "word " * (i % 4)) for i in range(n)]
    its = options(training=training, limit=limit)
    rendered = mcq.render(passage(*rows), its)
    asked: Counter[str] = Counter()
    for example in rendered.examples:
        assert its.count(example.targets) <= limit
        questions = parse(example.targets)
        assert questions is not None
        request, text = mcq.split_inputs(example.inputs)
        assert text == rows[0]["article"]
        delivered = Counter(item["difficulty"].lower() for item in questions)
        assert {name: delivered[name] for name in request} == request
        asked.update({item["question"]: 1 for item in questions})
    assert len(asked) == n - len(rendered.dropped)
    assert training or max(asked.values(), default=1) == 1


def test_a_question_that_fits_in_no_target_is_dropped_alone() -> None:
    rendered = mcq.render(passage(question(1), question(2, question="long " * 300)), options(limit=100))
    assert [(index, str(bad)) for index, bad in rendered.dropped] == [(1, "question over max_target_tokens (question)")]
    assert len(rendered.examples) == 1


def test_instruction_is_dropped_in_the_configured_share_of_training_only() -> None:
    passages = [passage(question(1, passage=f"Tom number {i} has a dog.")) for i in range(400)]
    bare = [
        example.inputs.startswith("<mcq> (Easy: 1, Medium: 0, Hard: 0): Tom")
        for its in passages
        for example in mcq.render(its, options(training=True, dropout=0.25)).examples
    ]
    assert 0.18 < sum(bare) / len(bare) < 0.32
    (example,) = mcq.render(passages[0], options(dropout=0.9)).examples
    assert example.inputs.startswith("<mcq> Generate MCQs (")
    assert mcq.bare(example.inputs) == "<mcq> (Easy: 1, Medium: 0, Hard: 0): Tom number 0 has a dog."


def test_prompt() -> None:
    assert mcq.prompt("A\ntext.", {"easy": 2}) == "<mcq> Generate MCQs (Easy: 2, Medium: 0, Hard: 0): A text."


@pytest.mark.parametrize(
    ("text", "request_", "message", "field"),
    [
        ("x", {"esay": 1}, "mcq takes no 'esay'", "esay"),
        ("x", {"easy": -1}, "easy must be a whole number from 0 on, got -1", "easy"),
        ("x", {"hard": 1.0}, "hard must be a whole number from 0 on, got 1.0", "hard"),
        ("x", {"hard": True}, "hard must be a whole number from 0 on, got True", "hard"),
        ("x", {"hard": "2"}, "hard must be a whole number from 0 on, got '2'", "hard"),
        ("x", {"easy": 0}, "asked for 0 questions", "easy"),
        ("x", {"easy": 20, "hard": 1}, "asked for 21 questions", "easy"),
        (" \n", {"easy": 1}, "the passage is empty", "text"),
    ],
)
def test_a_request_that_cannot_be_served(text: str, request_: dict[str, Any], message: str, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        mcq.prompt(text, mcq.TASK.complete(request_))
    assert (caught.value.message, caught.value.field) == (message, field)


def test_scores() -> None:
    (example,) = mcq.render(passage(question(1), question(2)), options()).examples
    perfect = mcq.score(example, example.targets)
    assert set(perfect) == {metric.name for metric in mcq.TASK.metrics}
    assert perfect["parsed"] == perfect["counts_obeyed"] == perfect["four_options"] == perfect["valid_key"] == 1.0
    assert perfect["key_supported"] == perfect["question_overlap"] == perfect["option_overlap"] == 1.0
    assert perfect["repeated"] == 0.0
    harder = mcq.score(example, example.targets.replace("Difficulty: Easy", "Difficulty: Hard"))
    assert (harder["parsed"], harder["counts_obeyed"], harder["counts_total"]) == (1.0, 0.0, 1.0)
    repeated = example.targets.replace("number 2", "number 1")
    assert mcq.score(example, repeated)["repeated"] == 0.5
    twice = mcq.score(example, example.targets.replace("a cat", "a dog"))
    assert (twice["four_options"], twice["valid_key"]) == (0.0, 1.0)
    for text in ("", "Summary: a dog", "MCQs: 1. Question: cut off"):
        nothing = mcq.score(example, text)
        assert (nothing["parsed"], nothing["counts_obeyed"], nothing["four_options"]) == (0.0, 0.0, 0.0)
        assert nothing["key_supported"] is None and nothing["repeated"] is None
