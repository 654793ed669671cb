"""Answers become tasks of Label Studio, and its export becomes feedback. The form of the export is that of its 1.23."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mtl.store.memory import MemoryStore
from mtl.tasks.mcq_form import render_target
from mtl.traffic.label_studio import CONFIGURATION, import_feedback, item_of, newest, summary_of, tasks_of
from mtl.traffic.redaction import Redaction
from mtl.traffic.store import read_feedback
from tests.server.test_feedback import QUESTION, QUIZ, SUMMARY

TWO = replace(QUIZ, answer=render_target([QUESTION, QUESTION | {"question": "Who came?"}]))
EDITED = "Who came late?\nA. Anna\nB. Ben\n\nC) Cleo\nD.  Dan\nCorrect: C\nDifficulty: Hard\n"
ADDRESSES = EDITED.replace("Anna", "anna@example.org").replace("Ben", "ben@example.org")


def annotated(data: dict[str, Any], verdict: str, text: str | None = None, **more: Any) -> dict[str, Any]:
    """A task as it is exported, with one annotation."""
    result = [{"from_name": "verdict", "to_name": "answer", "type": "choices", "value": {"choices": [verdict]}}]
    if text is not None:
        value = {"text": [text]}
        result.append({"from_name": "correction", "to_name": "answer", "type": "textarea", "value": value})
    annotation = {
        "id": 1,
        "completed_by": {"email": "anna@example.org"},
        "result": result,
        "was_cancelled": False,
        "created_at": "2026-11-27T23:15:55.615501Z",
        "updated_at": "2026-11-27T23:15:55.615533Z",
        **more,
    }
    return {"id": 7, "annotations": [annotation], "drafts": [], "predictions": [], "data": data, "meta": {}}


def imported(*tasks: Any, store: MemoryStore | None = None) -> tuple[dict[str, Any], MemoryStore]:
    kept = store or MemoryStore()
    return import_feedback(kept, "m", tasks, Redaction()).to_dict(), kept


def test_a_task_for_each_question_and_one_for_a_summary() -> None:
    first, second = (task["data"] for task in tasks_of(TWO))
    assert (first["question"], second["question"]) == (1, 2)
    assert second["title"] == "mcq: question 2 of 2"
    assert second["shown"] == "Who came?\nA. Anna\nB. Ben\nC. Cleo\nD. Dan\nCorrect: A\nDifficulty: Easy"
    (summary,) = (task["data"] for task in tasks_of(SUMMARY))
    assert (summary["shown"], summary["question"]) == ("Ben left.", None)
    (unread,) = (task["data"] for task in tasks_of(replace(QUIZ, answer="Nothing that can be read")))
    assert (unread["shown"], unread["question"]) == ("Nothing that can be read", None)
    names = [item_of(data) for data in (first, second, summary)]
    assert names == [f"{QUIZ.id}-1", f"{QUIZ.id}-2", SUMMARY.id]
    for variable in ("title", "text", "shown"):
        assert f'"${variable}"' in CONFIGURATION
        assert variable in first


def test_annotations_become_feedback_once() -> None:
    data = [task["data"] for task in tasks_of(TWO)]
    (summary,) = (task["data"] for task in tasks_of(SUMMARY))
    tasks = [
        annotated(data[0], "good", text="left as it was"),
        annotated(data[1], "corrected", text=EDITED),
        annotated(summary, "corrected", text="Ben left; ask ben@example.org."),
    ]
    done, store = imported(*tasks)
    assert done == {"new": 3, "same": 0, "other": 0, "unlabelled": 0, "refused": {}}
    one, two, three = read_feedback(store, "m")
    assert (one.verdict, one.question, one.correction, one.origin) == ("good", 1, None, "label-studio")
    assert (one.at, one.version, one.request) == ("2026-11-27T23:15:55+00:00", 3, QUIZ.request)
    options = ["Anna", "Ben", "Cleo", "Dan"]
    assert two.correction == {"question": "Who came late?", "options": options, "answer": "C", "difficulty": "Hard"}
    assert three.correction == "Ben left; ask [email]."
    assert "anna@" not in str([one, two, three])
    assert imported(*tasks, store=store)[0]["same"] == 3
    other, _ = imported(annotated(data[0], "unclear"), store=store)
    assert (other["other"], other["new"]) == (1, 0)
    assert [(row["task"], row["verdict"], row["count"]) for row in summary_of(read_feedback(store, "m"))] == [
        ("mcq", "corrected", 1),
        ("mcq", "good", 1),
        ("summarize", "corrected", 1),
    ]


def test_the_last_annotation_counts_and_skipped_tasks_do_not() -> None:
    data = tasks_of(TWO)[0]["data"]
    task = annotated(data, "good")
    later = annotated(data, "unclear", updated_at="2026-11-28T01:00:00+01:00")["annotations"]
    skipped = annotated(data, "wrong_key", was_cancelled=True, updated_at="2026-11-29T00:00:00Z")["annotations"]
    done, store = imported(task | {"annotations": [*skipped, *later, *task["annotations"]]})
    assert done["new"] == 1
    (kept,) = read_feedback(store, "m")
    assert (kept.verdict, kept.at) == ("unclear", "2026-11-28T00:00:00+00:00")
    assert imported(task | {"annotations": []})[0]["unlabelled"] == 1
    assert imported(task | {"annotations": skipped})[0]["unlabelled"] == 1


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("text", "is damaged"),
        ({"id": 7, "verdict": "good", "text": "as JSON-MIN"}, "data: Field required"),
        (annotated({"text": "somebody else's"}, "good"), "is damaged: id"),
        (annotated(tasks_of(TWO)[0]["data"], "splendid"), "verdict"),
        (annotated(tasks_of(TWO)[0]["data"] | {"id": "../x"}, "good"), "is damaged: id"),
        (annotated(tasks_of(TWO)[0]["data"] | {"task": "translate"}, "good"), "no task 'translate'"),
        (annotated(tasks_of(TWO)[0]["data"] | {"question": 9}, "good"), "question 9 of an answer with 2"),
        (annotated(tasks_of(TWO)[0]["data"], "corrected"), "has 7 lines, got 0"),
        (annotated(tasks_of(TWO)[0]["data"], "corrected", "A line"), "has 7 lines, got 1"),
        (annotated(tasks_of(TWO)[0]["data"], "corrected", EDITED.replace("B. ", "")), "lettered A. to D."),
        (annotated(tasks_of(TWO)[0]["data"], "corrected", EDITED.replace("Correct", "Key")), "'Correct: ...'"),
        (annotated(tasks_of(TWO)[0]["data"], "corrected", EDITED.replace("Hard", "Odd")), "no such difficulty"),
        (annotated(tasks_of(TWO)[0]["data"], "corrected", EDITED.replace("t: C", "t: E")), "answer outside A-D"),
        (
            annotated(tasks_of(TWO)[0]["data"], "corrected", ADDRESSES),
            "repeated option, once personal data and secrets are taken out",
        ),
        (annotated(tasks_of(SUMMARY)[0]["data"], "wrong_key"), "no question to be wrong_key"),
    ],
)
def test_what_cannot_be_learned_from_is_named_and_costs_the_others_nothing(task: Any, said: str) -> None:
    done, _ = imported(task, annotated(tasks_of(TWO)[1]["data"], "good"))
    assert done["new"] == 1
    (reason,) = done["refused"].values()
    assert said in reason


def test_the_newest_answers() -> None:
    answers = [replace(QUIZ, id=f"{n:032x}", at=f"2026-01-31T17:0{9 - n}:00+00:00") for n in range(5)]
    assert [answer.id[-1] for answer in newest(iter(answers), 2)] == ["1", "0"]
