"""What people say of answers, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtl.store.base import ObjectStore
from mtl.tasks.mcq_form import render_target
from mtl.traffic.records import Feedback
from mtl.traffic.store import write_feedback

MODEL = "people"


def said(number: int, verdict: str = "corrected", **fields: Any) -> Feedback:
    """An opinion of a summary; `number` makes its id and its text its own."""
    values: dict[str, Any] = {
        "id": f"{number:032x}",
        "at": "2026-11-27T12:00:00Z",
        "task": "summarize",
        "text": f"Village {number} built a bridge on Friday. It is {number} metres long.",
        "request": {},
        "answer": f"Summary: Village {number} built a bridge.",
        "version": 1,
        "verdict": verdict,
        "origin": "page",
        "correction": f"Village {number} has a new bridge of {number} metres." if verdict == "corrected" else None,
    }
    return Feedback(**(values | fields))


def asked(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A question as `parse` gives it."""
    its = {"question": f"What is number {number} ?", "options": ["one", "two", "three", "four"], "correct": "B"}
    return its | {"difficulty": "Easy"} | fields


def quiz(number: int, verdict: str = "good", *, questions: int = 2, **fields: Any) -> Feedback:
    """An opinion of an answer with questions about a passage."""
    answer = render_target([asked(n) for n in range(1, questions + 1)])
    text = f"Passage number {number} says that two is right, and that Ann has {number} goats."
    values = {"task": "mcq", "text": text, "request": {"easy": questions}, "answer": answer, "correction": None}
    return said(number, verdict, **(values | fields))


def correction(number: int = 1, **fields: Any) -> Mapping[str, Any]:
    """A question as a person writes it."""
    its = asked(number, **fields)
    return {"answer": its.pop("correct"), **its}


def say(store: ObjectStore, *opinions: Feedback, model: str = MODEL) -> None:
    for opinion in opinions:
        write_feedback(store, model, opinion)
