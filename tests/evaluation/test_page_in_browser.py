"""The approver's page in a real browser: whatever rows, answers and names say, nothing runs and nothing is fetched."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtl.decision import Decision, DecisionState
from mtl.evaluation.dataset_changes import DatasetChange
from mtl.evaluation.markdown import report_markdown
from mtl.evaluation.page import report_page
from mtl.evaluation.report import EvalReport
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.release.card import render_card
from mtl.release.layout import ReleaseFacts
from mtl.task import Metric
from tests.release.toy import SPEC
from tests.support import hostile
from tests.support.browser import blank, why_no_browser
from tests.support.toy_task import toy_task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser()),
]


@pytest.fixture(scope="module")
def report() -> EvalReport:
    """An example for each hostile text, as input, reference and every model's answer; all are shown."""
    task = dataclasses.replace(toy_task("toy", (Metric("score"),)), score=lambda example, answer: {"score": 1.0})
    texts = list(hostile.ALL)
    examples = [Example(text, text, "toy", text[:2000], {}) for text in texts]
    models = dict.fromkeys(("base", "champion", "candidate"), texts)
    return evaluate_models(models, examples, tasks={"toy": task}, seed=1, resamples=50, samples_per_task=len(texts))


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    with blank() as page:
        yield page


def looked_at(tab: Any, page: Path) -> dict[str, Any]:
    """Open a page, click and hover over everything in it; what happened."""
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))

    def dismiss(dialog: Any) -> None:
        asked.append(f"dialog {dialog.message}")
        dialog.dismiss()

    tab.on("dialog", dismiss)
    tab.goto(page.as_uri())
    title = tab.title()
    for summary in tab.locator("summary").all()[:20]:
        summary.click()
    for link in tab.locator("main a, body a").all()[:20]:
        link.click(no_wait_after=True, timeout=2000)
    tab.mouse.move(200, 200)
    tab.wait_for_timeout(300)
    active = "script, iframe, object, embed, form, input, img, base, link, a[href^='javascript'], [onload], [onerror]"
    return {
        "requests": [url for url in asked if url != page.as_uri()],
        "title": (title, tab.title()),
        "elements": tab.locator(active).count(),
        "text": tab.inner_text("body"),
        "url": tab.url,
    }


def test_nothing_in_the_page_is_active(tab: Any, report: EvalReport, tmp_path: Path) -> None:
    texts = [text[:300] for text in hostile.ALL]
    page = tmp_path / "report.html"
    html = report_page(
        report,
        title=texts[0],
        tasks={},
        decision=Decision(state=DecisionState.APPROVED, by=texts[0], reasons=tuple(texts)),
        changes=[DatasetChange(text, text, text[::-1]) for text in texts],
        facts={text: text for text in texts},
    )
    page.write_bytes(html.encode())
    found = looked_at(tab, page)
    assert (found["requests"], found["elements"], found["url"]) == ([], 0, page.as_uri())
    assert "ran" != found["title"][1] == found["title"][0]
    assert "<script>document.title" in found["text"], "it is shown as what it is"
    assert "\\x1b[2J" in found["text"] and "\\u202egnp.exe" in found["text"]
    assert not set(found["text"]) & set("\x1b\x07\u202e\u2066")
    assert tab.locator("body").bounding_box()["width"] <= 1280, "huge words do not widen it"
    assert len(html) < 3_000_000


def test_nothing_in_markdown_and_card_is_active(tab: Any, report: EvalReport, tmp_path: Path) -> None:
    """As a viewer draws them that lets HTML through and knows tables, strikethrough and bare addresses."""
    from markdown_it import MarkdownIt

    viewer = MarkdownIt("gfm-like", {"html": True, "linkify": False})
    texts = [text[:300] for text in hostile.ALL]
    card = render_card(
        model="toy",
        version=1,
        spec=SPEC | {"base": texts[0], "revision": texts[1], "base_sha256": texts[2]},
        facts=ReleaseFacts("a" * 64, "f" * 64, texts[3], {texts[0]: {texts[1]: 0.5}}),
        adapter_sha256="b" * 64,
        bundled=False,
        licences={text: text for text in texts},
    )
    decision = Decision(state=DecisionState.APPROVED, by=texts[0], reasons=tuple(texts))
    for name, markdown in (("report", report_markdown(report, decision=decision)), ("card", card)):
        page = tmp_path / f"{name}.html"
        page.write_text(f"<!doctype html><meta charset=utf-8><title>{name}</title>{viewer.render(markdown)}")
        found = looked_at(tab, page)
        assert (found["requests"], found["elements"], found["title"]) == ([], 0, (name, name)), name
        assert tab.locator("a").count() == 0, name
        assert not set(found["text"]) & set("\x1b\x07\u202e\u2066"), name
