"""The page and the Markdown: what was found, in words, and nothing active."""

from __future__ import annotations

import re

from mtl.evaluation.drift.compare import compare_task
from mtl.evaluation.drift.page import drift_markdown, drift_page, headline
from mtl.evaluation.drift.records import Alarm, Bars, Comparison, Difference, Domain, DriftReport, TaskDrift, Word
from tests.evaluation.drift.test_compare import made

MIX = Difference("task mix", {"mcq": 0.5, "summarize": 0.5}, {"mcq": 0.9, "summarize": 0.1}, 0.4, 0.0001)


def report(*comparisons: Comparison, alarms: tuple[Alarm, ...] = ()) -> DriftReport:
    return DriftReport(
        model="m",
        version=3,
        at="2026-01-31T12:00:00+00:00",
        dataset="d" * 64,
        since="s" * 64,
        days=7,
        bars=Bars(0.65, 0.01),
        comparisons=comparisons,
        alarms=alarms,
        page="drift/m/2026-01-31/page.html",
    )


def test_a_drift_stands_on_top_with_its_words_and_plots() -> None:
    measured = compare_task("mcq", made(60, seed=1), made(60, seed=2, hard=0.9), most=60, seed=0, permutations=99)
    domain = Domain(0.93, 0.001, (Word("zeppelin", 0.7, 0.0),), (Word("a_b", 0.0, 0.5),), ((0.0, 0.0), (1.0, 1.0)))
    task = TaskDrift("mcq", 60, 60, domain, measured.differences, measured.lengths)
    alarm = Alarm("new rows", "mcq", "mcq: the new rows differ <b>.", "cause")
    found = report(Comparison("new rows", (task,), MIX), alarms=(alarm,))
    assert headline(found) == "Drift: new rows of mcq"
    page = drift_page(found)
    assert "mcq: drift, area 0.93, p 0.001" in page
    assert "differ &lt;b&gt;." in page
    assert "<polyline" in page and page.count('<rect class="old"') == page.count('<rect class="new"') > 10
    assert re.search(r"zeppelin</td><td class=\"num\">70%</td><td class=\"num\">0%", page)
    assert "mcq 90%" in page and "&lt; 0.001" in page
    assert not re.search(r"<script|https?:|javascript:", page)
    text = drift_markdown(found, page="store/page.html")
    assert text.startswith("# Drift: new rows of mcq\n\nmcq: the new rows differ &lt;b&gt;.")
    assert "**mcq**: **drift**, area under the ROC curve 0.93, p 0.001, 60 texts against 60." in text
    assert "More frequent: zeppelin." in text and "Page with plots: `store/page.html`" in text


def test_too_few_texts_and_no_drift_are_said() -> None:
    quiet = TaskDrift("mcq", 60, 60, Domain(0.51, 0.4))
    found = report(Comparison("requests", (TaskDrift("summarize", 500, 12), quiet)))
    assert headline(found) == "No drift"
    for text in (drift_page(found), drift_markdown(found, page="p")):
        assert "too few texts to compare" in text
        assert "no drift" in text
    assert "12 fresh texts against 500; 50 of each are needed." in drift_page(found)
    assert headline(report()) == "Nothing new to compare"
