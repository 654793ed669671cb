"""The server of `mtl serve` in this process, with a model whose answers are known, and its page in a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import SecretStr

from mtl.evaluation.candidates import Chooser
from mtl.server.app import Hooks, Limits, make_app
from mtl.server.feedback import feedback_router
from mtl.server.page import page_router
from mtl.server.recent import RecentAnswers
from mtl.server.served import OneModel, ServedModel
from mtl.serving.generate import Generator
from mtl.store.memory import MemoryStore
from mtl.task import ReadingQuestion
from mtl.tasks.mcq_form import render_target
from mtl.traffic.records import Feedback
from mtl.traffic.redaction import Redaction
from mtl.traffic.store import read_feedback
from tests.support.serving import serving_app
from tests.support.tiny_model import plain_tokenizer

PASSAGE = (
    "Ann Lee is a baker in the old town of Bergen. She gets up at four every morning, because the bread has to be "
    "ready at six. Her brother Tom drives the bus. On Sundays, both of them go fishing on the lake near the mill."
)
QUESTIONS = [
    {
        "question": "What is Ann's work?",
        "options": ["She drives a bus.", "She is a baker.", "She catches fish.", "She runs the mill."],
        "correct": "B",
        "difficulty": "Easy",
    },
    {
        "question": "What do both of them like?",
        "options": ["Fishing on the lake.", "Baking bread.", "Long walks.", "Old towns."],
        "correct": "D",
        "difficulty": "Hard",
    },
]
MARKS = {"What is Ann's work?": 0.97, "What do both of them like?": 0.12}
SUMMARY = "Ann Lee, a baker in Bergen, gets up at four. She and her brother Tim go fishing."
MODEL = "mtl-flan-t5"


@dataclass
class Served:
    """answers: token of a task -> what the model writes."""

    address: str
    store: MemoryStore
    answers: dict[str, str] = field(default_factory=dict)

    def reset(self) -> None:
        """An empty store, and the answers of this module."""
        for info in list(self.store.list("")):
            self.store.delete(info.key)
        self.answers.update({"<mcq>": render_target(QUESTIONS), "<summarize>": f"Summary: {SUMMARY}"})

    def kept(self) -> list[Feedback]:
        return list(read_feedback(self.store, MODEL))


@contextmanager
def serving(generator: Generator | None = None, *, key: str | None = None) -> Iterator[Served]:
    """The server. generator: that answers; None: one that writes what `answers` says."""
    store, recent = MemoryStore(), RecentAnswers()
    served = Served("", store)
    served.reset()
    app = make_app(
        OneModel(ServedModel(MODEL, 3, 1, "2026-11-27T22:00:00+00:00", Path(), generator or _known(served))),
        limits=Limits(max_body=200_000),
        key=SecretStr(key) if key else None,
        hooks=Hooks(on_answered=recent.add),
        routers=[page_router(), feedback_router(store, MODEL, recent=recent, redaction=Redaction())],
    )
    with serving_app(app) as served.address:
        yield served


def _known(served: Served) -> Generator:
    def predict(inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        return [served.answers[text.partition(" ")[0]] for text in inputs]

    chooser: Any = Chooser(draw=None, reader=_Reader())  # type: ignore[arg-type]  # nothing is drawn here
    engines: Any = SimpleNamespace(chooser=chooser)  # greedy answers need no other
    return Generator(
        predict,
        plain_tokenizer(),
        max_input_tokens=1000,
        max_new_tokens={"mcq": 200, "summarize": 200},
        engines=engines,
    )


class _Reader:
    name = "toy"

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[tuple[float, ...]]:
        return [_spread(MARKS.get(its.question, 0.5), its.key) for its in questions]


def _spread(share: float, key: int) -> tuple[float, ...]:
    return tuple(share if at == key else (1 - share) / 3 for at in range(4))


@contextmanager
def opened(browser: Any, address: str) -> Iterator[Any]:
    """The page. What it says on its console, and what it asks of other hosts, are faults."""
    faults: list[str] = []

    def dismiss(dialog: Any) -> None:
        faults.append(dialog.message)
        dialog.dismiss()

    def note(message: str) -> None:
        if not message.startswith("Failed to load resource"):  # as Chromium says of each refused request
            faults.append(message)

    tab = browser.new_page(viewport={"width": 1000, "height": 800})
    tab.set_default_timeout(15_000)
    tab.on("console", lambda message: note(message.text))
    tab.on("pageerror", lambda error: note(str(error)))
    tab.on("request", lambda it: None if it.url.startswith((address, "data:")) else note(it.url))
    tab.on("dialog", dismiss)
    tab.goto(address)
    try:
        yield tab
    finally:
        tab.close()
    assert faults == []


def ask(tab: Any, task: str, text: str = PASSAGE, **parameters: int) -> None:
    tab.get_by_label("Text", exact=True).fill(text)
    tab.get_by_label("Task").select_option(task)
    for name, count in parameters.items():
        tab.get_by_label(name).fill(str(count))
    tab.get_by_role("button", name="Ask").click()


def quiz(tab: Any) -> None:
    """A quiz of which the first question is answered right and the second is not answered with the key."""
    ask(tab, "mcq", easy=1, medium=0, hard=1)
    tab.get_by_role("group", name="What is Ann's work?").get_by_label("She is a baker.").check()
    tab.get_by_role("group", name="What do both of them like?").get_by_label("Fishing on the lake.").check()
    tab.get_by_role("button", name="Check my answers").click()


def focused(tab: Any) -> str:
    """Text of the element that has the focus."""
    return str(tab.evaluate("document.activeElement.textContent"))
