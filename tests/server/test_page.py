"""The page of `mtl serve` in a real browser, on the real server with a model whose answers are known."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn

from mtl.evaluation.candidates import Chooser
from mtl.ports import hold
from mtl.server.app import Limits, make_app
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
from tests.support import hostile
from tests.support.browser import blank, picture, why_no_browser
from tests.support.third_task import program
from tests.support.tiny_model import plain_tokenizer

pytestmark = pytest.mark.timeout(300)
in_browser = pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser())

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
    """A server in this process. answers: token of a task -> what the model writes."""

    address: str
    store: MemoryStore
    answers: dict[str, str]

    def kept(self) -> list[Feedback]:
        return list(read_feedback(self.store, MODEL))


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def served(server: Served) -> Served:
    """The server, with an empty store and the answers of this module."""
    for info in list(server.store.list("")):
        server.store.delete(info.key)
    server.answers.update({"<mcq>": render_target(QUESTIONS), "<summarize>": f"Summary: {SUMMARY}"})
    return server


@contextmanager
def serving() -> Iterator[Served]:
    store, recent = MemoryStore(), RecentAnswers()
    with hold("127.0.0.1", 0) as sockets:
        served = Served(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", store, {})
        routers = [page_router(), feedback_router(store, MODEL, recent=recent, redaction=Redaction())]
        limits = Limits(max_body=200_000)
        app = make_app(OneModel(_model(served)), limits=limits, on_answered=recent.add, routers=routers)
        running = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": sockets})
        thread.start()
        while not running.started:
            time.sleep(0.01)
        yield served
        running.should_exit = True
        thread.join()


def _model(served: Served) -> ServedModel:
    """A Generator that writes what `served.answers` says."""

    def predict(inputs: Sequence[str], *, max_new_tokens: int) -> list[str]:
        return [served.answers[text.partition(" ")[0]] for text in inputs]

    chooser = Chooser(draw=None, reader=_Reader())  # type: ignore[arg-type]  # nothing is drawn here
    generator = Generator(
        predict,
        plain_tokenizer(),
        max_input_tokens=1000,
        max_new_tokens={"mcq": 200, "summarize": 200},
        engines=SimpleNamespace(chooser=chooser),  # type: ignore[arg-type]  # greedy needs no other
    )
    return ServedModel(MODEL, 3, 1, "2026-11-27T22:00:00+00:00", Path(), generator)


class _Reader:
    name = "toy"

    def __call__(self, questions: Sequence[ReadingQuestion], *, passage: bool) -> list[tuple[float, ...]]:
        return [_spread(MARKS.get(its.question, 0.5), its.key) for its in questions]


def _spread(share: float, key: int) -> tuple[float, ...]:
    return tuple(share if at == key else (1 - share) / 3 for at in range(4))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with blank() as page:
        yield page.context.browser


@pytest.fixture
def tab(browser: Any, served: Served) -> Iterator[Any]:
    """The page, opened. What it says on its console, and what it asks of other hosts, are faults."""
    faults: list[str] = []
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.set_default_timeout(15_000)
    page.on("console", lambda message: _unless_refused(faults, message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda it: None if it.url.startswith((served.address, "data:")) else faults.append(it.url))
    page.on("dialog", lambda dialog: faults.append(dialog.message) or dialog.dismiss())
    page.goto(served.address)
    yield page
    page.close()
    assert faults == []


def _unless_refused(faults: list[str], message: str) -> None:
    if not message.startswith("Failed to load resource"):  # as Chromium says of each refused request
        faults.append(message)


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


@in_browser
def test_a_quiz_is_answered_and_its_wrong_key_corrected(tab: Any, served: Served) -> None:
    picture(tab, "ask")
    quiz(tab)
    assert focused(tab) == "You have 1 of 2 right."
    first, second = tab.get_by_role("article").all()
    second.get_by_text("Nearest to the key").wait_for()
    assert "Right: the key is B." in first.inner_text()
    assert "Ann Lee is a baker in the old town of Bergen." == first.locator("blockquote").inner_text()
    assert "agrees with the key: it gives it a probability of 97%" in first.inner_text()
    assert "Not the key: you chose A, the key is D." in second.inner_text()
    assert "doubts the key: it gives it a probability of 12%" in second.inner_text()
    first.get_by_label("Good").check()
    first.get_by_role("button", name="Send feedback").click()
    first.get_by_text("Kept: question 1 is good.").wait_for()
    second.get_by_label("I correct it").check()
    second.get_by_label("Key").select_option("A")
    second.get_by_label("Option D").fill("Old towns and mills.")
    picture(tab, "correct")
    second.get_by_role("button", name="Send feedback").click()
    second.get_by_text("Kept: question 2 as you corrected it.").wait_for()
    assert "Key: A. Level: Hard." in focused(tab)
    picture(tab, "kept")
    good, corrected = served.kept()
    assert (good.question, good.verdict, good.correction) == (1, "good", None)
    options = [*QUESTIONS[1]["options"][:3], "Old towns and mills."]
    assert corrected.correction == {
        "question": "What do both of them like?",
        "options": options,
        "answer": "A",
        "difficulty": "Hard",
    }
    assert (corrected.text, corrected.origin, corrected.version) == (PASSAGE, "page", 3)
    assert corrected.request == {"easy": 1, "medium": 0, "hard": 1}


@in_browser
def test_a_summary_shows_what_the_text_does_not_have_and_is_corrected(tab: Any, served: Served) -> None:
    ask(tab, "summarize")
    tab.locator("mark").wait_for()
    assert [mark.inner_text() for mark in tab.locator("mark").all()] == ["Tim"]
    assert tab.get_by_label("easy").count() == tab.get_by_label("Wrong key").count() == 0
    tab.get_by_label("I correct it").check()
    tab.get_by_role("button", name="Send feedback").click()
    tab.get_by_text("Nothing was changed.").wait_for()
    assert served.kept() == []
    tab.get_by_label("As it should be").fill(SUMMARY.replace("Tim", "Tom"))
    tab.get_by_role("button", name="Send feedback").click()
    tab.get_by_text("Kept: the summary as you corrected it.").wait_for()
    assert [kept.correction for kept in served.kept()] == [SUMMARY.replace("Tim", "Tom")]


@in_browser
def test_an_answer_that_is_not_of_the_form_is_shown_as_it_is(tab: Any, served: Served) -> None:
    served.answers["<mcq>"] = "MCQs: 1. Question: and nothing else"
    ask(tab, "mcq")
    tab.get_by_text("not of the form").wait_for()
    tab.get_by_label("Unclear").check()
    tab.get_by_role("button", name="Send feedback").click()
    tab.get_by_text("Kept: the answer is unclear.").wait_for()
    assert [(kept.verdict, kept.question) for kept in served.kept()] == [("unclear", None)]


@in_browser
def test_everything_can_be_done_with_the_keyboard(tab: Any, served: Served) -> None:
    def press(*keys: str) -> None:
        for key in keys:
            tab.keyboard.press(key)

    press("Tab", "Tab")  # past the link to the answer
    tab.keyboard.insert_text(PASSAGE)
    press("Tab", "m", "Tab")  # to the task that begins with m, and to its first parameter
    tab.keyboard.insert_text("1")
    press("Tab", "Tab", "Tab", "Tab", "Tab", "Enter")
    tab.get_by_role("button", name="Check my answers").wait_for()
    assert focused(tab) == "Quiz with 2 questions"
    press("Tab", "Space", "ArrowDown", "Tab", "Space", "Tab", "Enter")
    assert focused(tab) == "You have 1 of 2 right."
    press("Tab", "ArrowDown")
    assert tab.evaluate("document.activeElement.value") == "wrong_key"
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "one sees where one is"
    press("Tab", "Enter")
    tab.get_by_text("Kept: question 1 has a wrong key.").wait_for()
    press("Tab", "Space", "ArrowUp", "Tab", "End")  # to I correct it, and into the question
    tab.keyboard.insert_text(" Of all?")
    press("Tab", "Tab", "Tab", "Tab", "Tab", "Home", "Tab", "Tab", "Enter")
    tab.get_by_text("Kept: question 2 as you corrected it.").wait_for()
    wrong, corrected = served.kept()
    assert (wrong.question, wrong.verdict) == (1, "wrong_key")
    assert isinstance(corrected.correction, Mapping)
    assert corrected.correction["question"] == "What do both of them like? Of all?"
    assert corrected.correction["answer"] == "A"


_CONTRASTS = """() => {
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const [r, g, b, a = 1] = rgb(getComputedStyle(element).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility()
    && ([...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || element.matches("textarea, select, input")));
  return texts.filter((element) => !element.matches("script, option, .skip")).map((element) => {
    const [front, back] = [rgb(getComputedStyle(element).color), behind(element)].map(light);
    return [(Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05), element.outerHTML.slice(0, 80)];
  });
}"""


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_is_readable_in_both_schemes(tab: Any, scheme: str) -> None:
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": 320, "height": 640})
    quiz(tab)
    second = tab.get_by_role("article").nth(1)
    second.get_by_text("Nearest to the key").wait_for()
    second.get_by_label("I correct it").check()
    second.get_by_role("button", name="Send feedback").click()
    second.get_by_text("Nothing was changed.").wait_for()
    first = tab.get_by_role("article").first
    first.get_by_label("Good").check()
    first.get_by_role("button", name="Send feedback").click()
    first.get_by_text("Kept").wait_for()
    picture(tab, f"phone-{scheme}")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320
    found = tab.evaluate(_CONTRASTS)
    assert len(found) > 40
    assert [(round(ratio, 2), what) for ratio, what in found if ratio < 4.5] == []
    small = "[...document.querySelectorAll('button, select, textarea, label.option, .chips label')]"
    heights = tab.evaluate(f"{small}.filter((it) => it.checkVisibility()).map((it) => it.offsetHeight)")
    assert min(heights) >= 44, "large enough for a thumb"


@in_browser
def test_each_failure_says_what_to_do_and_loses_nothing(tab: Any, served: Served) -> None:
    def alert() -> str:
        tab.locator("#error .error").wait_for()
        return " ".join(tab.locator("#error").inner_text().split())

    ask(tab, "mcq", easy=30)
    assert "asked for 32 questions" in alert() and "1 to 20 questions" in alert()
    ask(tab, "mcq", "word " * 2000, easy=1)
    assert alert().endswith("Shorten it, or let its end be left out.")
    tab.get_by_label("If the text is too long").check()
    tab.get_by_role("button", name="Ask").click()
    tab.get_by_text("The text was too long: the model did not see its end.").wait_for()
    ask(tab, "mcq", "word " * 50_000)
    assert alert().startswith("This is larger than the server takes.")
    busy = {"status": 429, "headers": {"Retry-After": "7"}, "json": {"error": {"kind": "queue_full", "message": "?"}}}
    tab.route("**/v1/generate", lambda route: route.fulfill(**busy))
    ask(tab, "mcq")
    assert alert() == "The server has too much to do at the moment. Try again in 7 seconds."
    tab.unroute("**/v1/generate")
    tab.context.set_offline(True)
    tab.get_by_role("button", name="Ask").click()
    assert alert().startswith("The server cannot be reached. Check your connection")
    tab.context.set_offline(False)
    assert tab.get_by_label("Text", exact=True).input_value() == PASSAGE
    quiz(tab)
    first = tab.get_by_role("article").first
    first.get_by_label("Good").check()
    tab.context.set_offline(True)
    first.get_by_role("button", name="Send feedback").click()
    first.get_by_text("The server cannot be reached.").wait_for()
    assert first.get_by_label("Good").is_checked() and served.kept() == []
    tab.context.set_offline(False)
    first.get_by_role("button", name="Send feedback").click()
    first.get_by_text("Kept: question 1 is good.").wait_for()
    assert len(served.kept()) == 1


@in_browser
def test_other_feedback_after_the_first_is_refused_in_words(tab: Any, served: Served) -> None:
    with tab.expect_response("**/v1/generate") as answered:
        ask(tab, "summarize")
    answer = answered.value.json()["answers"][0]
    given = {"id": answer["id"], "verdict": "good"}
    assert httpx.post(f"{served.address}/v1/feedback", json=given).status_code == 201
    tab.get_by_label("Unclear").check()
    tab.get_by_role("button", name="Send feedback").click()
    tab.get_by_text("Other feedback about this was kept before").wait_for()
    assert [kept.verdict for kept in served.kept()] == ["good"]


@in_browser
def test_names_and_roles(tab: Any) -> None:
    from playwright.sync_api import expect

    quiz(tab)
    tab.get_by_role("article").nth(1).get_by_text("Nearest to the key").wait_for()
    tab.get_by_role("article").nth(1).get_by_label("I correct it").check()
    expect(tab.locator("body")).to_match_aria_snapshot(_ROLES)
    unnamed = """[...document.querySelectorAll('input, select, textarea, button')]
        .filter((it) => it.checkVisibility() && !(it.labels?.length || it.textContent.trim())).length"""
    assert tab.evaluate(unnamed) == 0
    ids = tab.evaluate("[...document.querySelectorAll('[id]')].map((it) => it.id)")
    assert len(ids) == len(set(ids))
    assert tab.evaluate("document.documentElement.lang") == "en" and tab.title()


_ROLES = """
- link "Skip to the answer"
- banner:
  - heading "Ask the model" [level=1]
- main:
  - form "Request":
    - textbox "Text"
    - combobox "Task"
    - group "Parameters":
      - spinbutton "easy"
      - spinbutton "medium"
      - spinbutton "hard"
    - checkbox "If the text is too long, leave out its end"
    - checkbox "Only questions that the reader confirms (slower)"
    - button "Ask"
    - status: The answer is below.
  - region "Answer":
    - heading "Quiz with 2 questions" [level=2]
    - paragraph
    - paragraph: You have 1 of 2 right.
    - article:
      - group /Question 1 · Easy What is Ann's work/:
        - heading "What is Ann's work?" [level=3]
        - radio "A. She drives a bus." [disabled]
        - radio "B. She is a baker. ✓ key" [checked] [disabled]
      - form "Feedback on question 1":
        - group "How is question 1?":
          - radio "Good"
          - radio "Wrong key"
          - radio "Unclear"
          - radio "Wrong level"
          - radio "I correct it"
        - button "Send feedback"
    - article:
      - group /Question 2/:
        - radio "A. Fishing on the lake. ✗ your choice" [checked] [disabled]
        - radio "D. Old towns. ✓ key" [disabled]
      - form "Feedback on question 2":
        - group "Correct question 2":
          - textbox "Question"
          - textbox "Option A"
          - combobox "Key"
          - combobox "Level"
        - button "Send feedback"
"""


@in_browser
def test_hostile_text_is_text(tab: Any, served: Served) -> None:
    scripts = [" ".join(text.split()) for text in hostile.SCRIPTS]
    asked = [
        {"question": text, "options": [scripts[(at + n) % len(scripts)] for n in range(4)], "correct": "A"}
        for at, text in enumerate(scripts)
    ]
    served.answers["<mcq>"] = render_target([item | {"difficulty": "Easy"} for item in asked])
    served.answers["<summarize>"] = "Summary: " + " ".join(text[:3000] for text in hostile.ALL)
    title = tab.title()
    ask(tab, "mcq", " ".join(scripts), easy=len(asked))
    tab.get_by_role("button", name="Check my answers").click()
    tab.get_by_text("Nearest to the key").first.wait_for()
    text = tab.get_by_role("region", name="Answer").inner_text()
    assert all(script in text for script in scripts)
    last = tab.get_by_role("article").last
    last.get_by_label("I correct it").check()
    last.get_by_label("Option A").fill(scripts[0])
    last.get_by_role("button", name="Send feedback").click()
    last.get_by_role("alert").locator(".error").wait_for()  # the same option twice, or none without its markup
    ask(tab, "summarize", " ".join(scripts))
    tab.get_by_text("They may be invented").wait_for()
    text = tab.locator(".summary").inner_text()
    assert scripts[0] in text and "\\u202e" in text
    tab.get_by_label("I correct it").check()
    tab.get_by_label("As it should be").fill(f"Ann is a baker. {scripts[1]}")
    tab.get_by_role("button", name="Send feedback").click()
    assert scripts[1] in tab.locator(".kept").inner_text()
    assert not set(text) & set("\x1b\x07\u202e\u2066")
    active = "iframe, object, embed, img, svg, base, meta[http-equiv], [onload], [onerror], a:not(.skip), script:not([id])"
    assert tab.locator(active).count() == 1, "the page's own script"
    assert (tab.title(), tab.url.rstrip("/")) == (title, served.address)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_is_one_file_and_its_policy_allows_nothing_else(served: Served) -> None:
    page = httpx.get(served.address)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    assert "connect-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)|url\(|@import|\son\w+=""", page.text)
    assert not re.search(r"\binnerHTML|insertAdjacentHTML|document\.write|\beval\b", page.text)


def test_what_supports_an_answer(served: Served) -> None:
    def support(task: str, answer: str, text: str = PASSAGE) -> httpx.Response:
        return httpx.post(f"{served.address}/v1/support", json={"task": task, "text": text, "answer": answer})

    found = support("mcq", render_target(QUESTIONS)).json()
    assert found["sentences"] == ["Ann Lee is a baker in the old town of Bergen."] * 2
    assert [part["text"] for part in support("summarize", SUMMARY).json()["parts"] if not part["supported"]] == ["Tim"]
    nothing = QUESTIONS[0] | {"options": ["Zebras.", "a", "b", "c"], "correct": "A"}
    assert support("mcq", render_target([nothing])).json()["sentences"] == [None]
    assert support("mcq", "no quiz").json() == {"sentences": [], "parts": []}
    assert support("no such task", "").status_code == 404
    assert support("mcq", "", text=" ").status_code == 422
    assert support("mcq", "", text="a" * 200_001).status_code == 422


@pytest.mark.slow
def test_a_third_task_appears_with_its_parameters(tmp_path: Path) -> None:
    done = program(tmp_path).python("-c", _SHOWN)
    (title,) = [task for task in json.loads(done.stdout) if task["name"] == "title"]
    (words,) = title["parameters"]
    assert (words["name"], words["kind"], words["low"]) == ("words", "whole", 1)


_SHOWN = """
import re
from fastapi import FastAPI
from fastapi.testclient import TestClient
from mtl.server.page import page_router
app = FastAPI()
app.include_router(page_router())
print(re.search('id="tasks">(.*?)</script>', TestClient(app).get("/").text)[1])
"""
