"""Feedback is kept before it is answered, once, redacted, and only if something can be learned from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mtl.errors import MtlError, PermanentError, TransientError
from mtl.server.feedback import feedback_router
from mtl.server.recent import RecentAnswers
from mtl.server.refusals import add_handlers
from mtl.store.memory import MemoryStore
from mtl.tasks.mcq_form import render_target
from mtl.traffic.records import Feedback, ServedAnswer
from mtl.traffic.redaction import Redaction
from mtl.traffic.store import read_feedback
from tests.support.stores import held

QUESTION = {"question": "Who left?", "options": ["Anna", "Ben", "Cleo", "Dan"], "correct": "A", "difficulty": "Easy"}
RIGHT = {"question": "Who left?", "options": ["Anna", "Ben", "Cleo", "Dan"], "answer": "B", "difficulty": "Easy"}
QUIZ = ServedAnswer(
    id="0" * 32,
    at="2026-01-31T17:00:00+00:00",
    task="mcq",
    text="Ben left at nine. Write to ben@example.org.",
    request={"easy": 1, "medium": 1, "hard": 0},
    decoding={},
    truncated=False,
    answer=render_target([QUESTION]),
    version=3,
    milliseconds=12.5,
)
SUMMARY = replace(QUIZ, id="1" * 32, task="summarize", request={}, answer="Summary: Ben left.")


class Served:
    """The router on an app, with two answers that it remembers."""

    def __init__(self, *, seconds: float = 10.0) -> None:
        self.store = MemoryStore()
        self.told: list[Feedback] = []
        self.recent = RecentAnswers()
        self.recent.add(QUIZ)
        self.recent.add(SUMMARY)
        self.http = self.restarted(self.recent, seconds=seconds)

    def restarted(self, recent: RecentAnswers, *, seconds: float = 10.0) -> TestClient:
        app = FastAPI()
        add_handlers(app)
        router = feedback_router(
            self.store, "m", recent=recent, redaction=Redaction(), on_kept=self.told.append, seconds=seconds
        )
        app.include_router(router)
        return TestClient(app)

    def give(self, body: Mapping[str, Any], **headers: str) -> Any:
        return self.http.post("/v1/feedback", json=body, headers=headers)

    def kept(self) -> list[Feedback]:
        return list(read_feedback(self.store, "m"))


@pytest.fixture
def served() -> Served:
    return Served()


@pytest.mark.parametrize(
    "body",
    [
        {"id": QUIZ.id, "verdict": "good"},
        {"id": QUIZ.id, "verdict": "good", "question": 1},
        {"id": QUIZ.id, "verdict": "wrong_key", "question": 1},
        {"id": QUIZ.id, "verdict": "corrected", "question": 1, "correction": RIGHT},
        {"id": QUIZ.id, "verdict": "corrected", "question": 2, "correction": RIGHT | {"difficulty": "Medium"}},
        {"id": SUMMARY.id, "verdict": "unclear"},
        {"id": SUMMARY.id, "verdict": "corrected", "correction": "Ben left at nine."},
    ],
)
def test_feedback_is_kept_before_it_is_answered(served: Served, body: dict[str, Any]) -> None:
    answer = served.give(body)
    assert answer.status_code == 201, answer.text
    (kept,) = served.kept()
    assert (kept.id, kept.verdict, kept.question) == (body["id"], body["verdict"], body.get("question"))
    assert kept.correction == body.get("correction")
    assert kept.origin == "api"
    assert kept.version == 3
    assert kept.text == "Ben left at nine. Write to [email]."
    shown = {name: answer.json()[name] for name in body}
    assert shown == body
    assert served.told == [kept]


def test_the_same_again_is_answered_as_before_and_something_else_is_a_conflict(served: Served) -> None:
    body = {"id": QUIZ.id, "verdict": "corrected", "question": 1, "correction": RIGHT}
    first = served.give(body)
    again = served.give(body)
    other = served.give(body | {"correction": RIGHT | {"answer": "C"}})
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json() == first.json()
    assert other.json()["error"]["kind"] == "conflict"
    assert "question 1" in other.json()["error"]["message"]
    assert len(served.kept()) == len(served.told) == 1


def test_the_same_again_is_recognised_by_a_server_that_has_just_started(served: Served) -> None:
    body = {"id": SUMMARY.id, "verdict": "corrected", "correction": "Ben left; ben@example.org knows why."}
    first = served.give(body)
    served.http = served.restarted(RecentAnswers())
    assert served.give(body).json() == first.json()
    assert served.give(body | {"correction": "Another."}).status_code == 409
    assert served.give(body | {"id": "2" * 32}).status_code == 404


def test_an_answer_that_is_forgotten(served: Served) -> None:
    answer = served.give({"id": "f" * 32, "verdict": "good"})
    assert answer.status_code == 404
    assert "the last 10,000 answers, or 64 MiB of them" in answer.json()["error"]["hint"]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"id": QUIZ.id, "verdict": "wrong_key"}, "question", "none is named"),
        ({"id": QUIZ.id, "verdict": "wrong_key", "question": 2}, "question", "an answer with 1"),
        ({"id": QUIZ.id, "verdict": "corrected", "question": 3, "correction": RIGHT}, "question", "with 1"),
        ({"id": QUIZ.id, "verdict": "corrected", "question": 1}, "correction", "needs a correction"),
        ({"id": QUIZ.id, "verdict": "good", "correction": "Better."}, "correction", "has no correction"),
        ({"id": QUIZ.id, "verdict": "corrected", "question": 1, "correction": "?"}, "correction", "is a question"),
        (
            {"id": QUIZ.id, "verdict": "corrected", "question": 1, "correction": RIGHT | {"difficulty": "Odd"}},
            "correction.difficulty",
            "no such difficulty",
        ),
        (
            {
                "id": QUIZ.id,
                "verdict": "corrected",
                "question": 1,
                "correction": RIGHT | {"options": ["a", "A", "b", "c"]},
            },
            "correction.options",
            "repeated option",
        ),
        (
            {"id": QUIZ.id, "verdict": "corrected", "question": 1, "correction": RIGHT | {"question": " "}},
            "correction.question",
            "no question",
        ),
        (
            {
                "id": QUIZ.id,
                "verdict": "corrected",
                "question": 1,
                "correction": RIGHT | {"options": [f"{name}@example.org" for name in "abcd"]},
            },
            "correction.options",
            "repeated option, once personal data and secrets are taken out",
        ),
        ({"id": SUMMARY.id, "verdict": "wrong_key"}, "verdict", "no question to be wrong_key"),
        ({"id": SUMMARY.id, "verdict": "good", "question": 1}, "question", "has no question 1"),
        ({"id": SUMMARY.id, "verdict": "corrected", "correction": " \n"}, "correction", "the correction is empty"),
        ({"id": SUMMARY.id, "verdict": "corrected", "correction": RIGHT}, "correction", "is a text"),
    ],
)
def test_what_nobody_could_learn_from_is_refused(served: Served, body: dict[str, Any], field: str, said: str) -> None:
    answer = served.give(body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == field
    assert said in error["message"]
    assert error["hint"]
    assert served.kept() == []


CORRECTED = {"id": QUIZ.id, "verdict": "corrected", "question": 1}


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"id": "../" * 11, "verdict": "good"}, "id", "no id of an answer"),
        ({"id": QUIZ.id, "verdict": "splendid"}, "verdict", "should be 'good'"),
        ({"id": QUIZ.id, "verdict": "good", "who": "Anna"}, None, "unknown field"),
        ({"id": QUIZ.id, "verdict": "good", "question": True}, "question", "valid integer"),
        (CORRECTED | {"correction": RIGHT | {"by": "Anna"}}, "correction", "unknown field in correction"),
        (CORRECTED | {"correction": RIGHT | {"answer": "Z"}}, "correction.answer", "pattern '^[A-D]$'"),
        (CORRECTED | {"correction": RIGHT | {"options": ["a", "b", "c"]}}, "correction.options", "at least 4 items"),
        (CORRECTED | {"correction": {"question": "Who?"}}, "correction.options", "Field required"),
        (CORRECTED | {"correction": 5}, "correction", "valid string"),
        ({"id": SUMMARY.id, "verdict": "corrected", "correction": "a" * 200_001}, "correction", "at most 200000"),
    ],
)
def test_a_body_of_another_form_is_refused(served: Served, body: dict[str, Any], field: str | None, said: str) -> None:
    answer = served.give(body)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field
    assert said in answer.json()["error"]["message"]
    assert served.kept() == []


def test_a_post_of_the_page_is_told_apart_and_nothing_says_who_it_was(served: Served) -> None:
    served.give({"id": QUIZ.id, "verdict": "good"}, origin="http://localhost:5002", **{"user-agent": "Anna's phone"})
    (kept,) = served.kept()
    assert kept.origin == "page"
    assert "phone" not in str(kept)


def test_a_store_that_hangs_costs_an_error_and_holds_up_no_other_request() -> None:
    served, healed = Served(seconds=0.2), threading.Event()
    served.store.before = held(healed)
    body = {"id": QUIZ.id, "verdict": "good"}
    began = time.monotonic()
    answer = served.give(body)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert time.monotonic() - began < 5
    healed.set()
    for _ in range(50):  # what was late is kept after all, and then the same is no news
        if served.give(body).status_code == 200:
            break
    assert len(served.kept()) == 1


@pytest.mark.parametrize("error", [TransientError("the store is away"), PermanentError("access denied")])
def test_a_store_that_refuses(served: Served, error: MtlError) -> None:
    def refuse(operation: str, key: str) -> None:
        raise error

    served.store.before = refuse
    answer = served.give({"id": QUIZ.id, "verdict": "good"})
    assert answer.status_code == 503
    assert "again" in answer.text or "away" in answer.text
    assert served.told == []
