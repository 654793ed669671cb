"""What a retrain leaves in Prefect, drawn by Prefect's own pages in a real browser: nothing in it acts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import httpx
import pytest

from mtl.decision import Decision, DecisionState
from mtl.evaluation.markdown import report_markdown
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.task import Metric
from tests.support import hostile
from tests.support.browser import blank, why_no_browser
from tests.support.prefect_server import prefect_server
from tests.support.toy_task import toy_task

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_no_browser()), reason=why_no_browser()),
]
OUTSIDE = "127.0.0.1:9/"
"""Where every hostile text would send a browser that follows it."""


def report() -> str:
    """The report of a run whose rows, answers and reasons are hostile."""
    task = dataclasses.replace(toy_task("toy", (Metric("score"),)), score=lambda example, answer: {"score": 1.0})
    texts = list(hostile.ALL)
    examples = [Example(text, text, "toy", text[:200], {}) for text in texts]
    models = dict.fromkeys(("base", "candidate"), texts)
    found = evaluate_models(models, examples, tasks={"toy": task}, seed=1, resamples=50, samples_per_task=len(texts))
    reasons = tuple(text[:300] for text in texts)
    return report_markdown(found, decision=Decision(state=DecisionState.APPROVED, by=texts[0], reasons=reasons))


def make(api: str, kind: str, data: str) -> str:
    """The id of a new artifact, as `flows.artifacts` makes them."""
    body = {"key": kind, "type": kind, "data": data}
    answer = httpx.post(f"{api}/artifacts/", json=body, timeout=30)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def shown(page: Any, address: str) -> tuple[list[str], str]:
    """(what the browser was sent to or ran, what a person reads) of a page."""
    acted: list[str] = []
    page.on("request", lambda request: acted.append(request.url) if OUTSIDE in request.url else None)

    def dismiss(dialog: Any) -> None:
        acted.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.goto(address)
    page.get_by_text("document.title").first.wait_for()
    page.wait_for_timeout(1000)
    acted += [page.title()] if page.title() == "ran" else []
    active = page.locator("a[href^='javascript'], [onerror], [onload], [onmouseover], iframe[srcdoc], form[action]")
    return acted + [active.nth(n).evaluate("it => it.outerHTML") for n in range(active.count())], page.inner_text(
        "body"
    )


def test_the_report_of_hostile_rows(tmp_path: Path) -> None:
    """Neither of Prefect's two interfaces runs or fetches anything that stands in a row, an answer or a reason."""
    with prefect_server(tmp_path / "prefect") as (api, _), blank() as page:
        artifact = make(api, "markdown", report())
        for root in ("", "/v2"):
            acted, text = shown(page, f"{api.removesuffix('/api')}{root}/artifacts/artifact/{artifact}")
            assert acted == [], root
            assert "<img src=x onerror=" in text, "it is shown as what it is"
