"""The page of `mtl serve` in a real browser, on the real server with a model whose answers are known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from mtl.serving.generate import load_generator
from mtl.tasks.mcq import split_inputs
from mtl.tasks.mcq_form import render_target
from tests.support import hostile
from tests.support.browser import picture
from tests.support.learned import learned_model, short_examples
from tests.support.page_server import PASSAGE, QUESTIONS, SUMMARY, Served, ask, focused, opened, quiz, serving
from tests.support.third_task import program

pytestmark = pytest.mark.timeout(300)


def test_a_quiz_is_answered_and_its_wrong_key_corrected(tab: Any, served: Served) -> None:
    picture(tab, "ask")
    quiz(tab)
    assert focused(tab) == "You have 1 of 2 right."
    first, second = tab.get_by_role("article").all()
    second.get_by_text("Nearest to the key").wait_for()
    assert "Right: the key is B." in first.inner_text()
    assert first.locator("blockquote").inner_text() == "Ann Lee is a baker in the old town of Bergen."
    assert "agrees with the key: it gives it a probability of 97%" in first.inner_text()
    assert "Not the key: you chose A, the key is D." in second.inner_text()
    assert "doubts the key: it gives it a probability of 12%" in second.inner_text()
    first.get_by_label("Good").check()
    first.get_by_role("button", name="Send feedback").click()
    first.get_by_text("Kept: question 1 is good.").wait_for()
    second.get_by_label("I correct it").check()
    second.get_by_label("Key", exact=True).select_option("A")
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
    tab.get_by_text("Kept: the answer as you corrected it.").wait_for()
    assert [kept.correction for kept in served.kept()] == [SUMMARY.replace("Tim", "Tom")]


def test_an_answer_that_is_not_of_the_form_is_shown_as_it_is(tab: Any, served: Served) -> None:
    served.answers["<mcq>"] = "MCQs: 1. Question: and nothing else"
    ask(tab, "mcq")
    tab.get_by_text("not of the form").wait_for()
    tab.get_by_label("Unclear").check()
    tab.get_by_role("button", name="Send feedback").click()
    tab.get_by_text("Kept: the answer is unclear.").wait_for()
    assert [(kept.verdict, kept.question) for kept in served.kept()] == [("unclear", None)]


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_key_is_asked_for_once_and_kept_for_the_tab(browser: Any) -> None:
    with serving(key="the right key of the server") as served, opened(browser, served.address) as tab:
        ask(tab, "summarize")
        dialog = tab.get_by_role("dialog", name="This server asks for its key")
        picture(tab, "key")
        dialog.get_by_role("button", name="Cancel").click()
        tab.get_by_text("This server answers only who has its key.").wait_for()
        tab.get_by_role("button", name="Ask").click()
        dialog.get_by_label("Key").fill("a wrong key")
        tab.keyboard.press("Enter")
        dialog = tab.get_by_role("dialog", name="The server did not accept this key")
        dialog.wait_for()
        dialog.get_by_text("The key that you gave is wrong.").wait_for()
        assert dialog.get_by_label("Key").input_value() == ""
        tab.keyboard.insert_text("the right key of the server")
        tab.keyboard.press("Enter")
        tab.locator(".summary").wait_for()
        tab.reload()
        ask(tab, "summarize")
        tab.locator("mark").wait_for()
        tab.get_by_label("Good").check()
        tab.get_by_role("button", name="Send feedback").click()
        tab.locator(".kept").wait_for()
        assert len(served.kept()) == 1
        assert tab.evaluate("[localStorage.length, document.cookie]") == [0, ""]


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
    active = (
        "iframe, object, embed, img, svg, base, meta[http-equiv], [onload], [onerror], a:not(.skip), script:not([id])"
    )
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
    many = support("mcq", render_target(QUESTIONS * 200), text="a. b. " * 15_000)
    assert len(many.json()["sentences"]) == 400 and many.elapsed.total_seconds() < 20, "bounded, on busy cores too"
    nothing = QUESTIONS[0] | {"options": ["Zebras.", "a", "b", "c"], "correct": "A"}
    assert support("mcq", render_target([nothing])).json()["sentences"] == [None]
    assert support("mcq", "no quiz").json() == {"sentences": [], "parts": []}
    assert support("no such task", "").status_code == 404
    assert support("mcq", "", text=" ").status_code == 422
    assert support("mcq", "", text="a" * 200_001).status_code == 413


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


@pytest.mark.slow
@pytest.mark.timeout(900)  # it trains for half a minute, on cores of its own
def test_a_model_that_learned_both_tasks(browser: Any, tmp_path: Path) -> None:
    """From a passage that it never saw to a correction in the store, with the base as the reader."""
    example = next(it for it in short_examples(9, 40) if it.task == "mcq")
    request, passage = split_inputs(example.inputs)
    generator = load_generator(learned_model(tmp_path / "model"))
    with serving(generator) as served, opened(browser, served.address) as tab:
        ask(tab, "mcq", passage, **request)
        tab.get_by_role("article").get_by_role("radio").first.check()
        tab.get_by_role("button", name="Check my answers").click()
        tab.get_by_text(re.compile(r"it gives it a probability of \d+%")).wait_for()
        picture(tab, "learned")
        tab.get_by_label("I correct it").check()
        tab.get_by_role("textbox", name="Question").fill("Who is it about?")
        tab.get_by_role("button", name="Send feedback").click()
        tab.locator(".kept").wait_for()
        (kept,) = served.kept()
        assert isinstance(kept.correction, dict)
        assert (kept.correction["question"], kept.text, kept.request) == ("Who is it about?", passage, request)
        ask(tab, "summarize", passage)
        tab.locator(".summary").wait_for()
