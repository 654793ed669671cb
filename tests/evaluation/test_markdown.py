from __future__ import annotations

import dataclasses
import html
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mtl.decision import Decision, DecisionState
from mtl.evaluation.markdown import TEXT_CHARS, escape, report_markdown
from mtl.evaluation.power import Power
from mtl.evaluation.report import EvalReport
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.task import Groups, Metric
from mtl.tasks.table import TASKS
from tests.evaluation.test_page import read_report
from tests.support.toy_task import toy_task

CANDIDATE = {"candidate": ["0.7"] * 6}
METRICS = (Metric("score"), Metric("repeated", higher_is_better=False), Metric("never"))


def _html(markdown: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(markdown))


def _report(texts: dict[str, list[str]], *, inputs: str = "<toy> who?", n: int = 6, **changes: Any) -> EvalReport:
    task = toy_task("toy", METRICS, groups=3)
    examples = [Example(inputs, "a | *reference*", "toy", f"u{i}", {"group": i % 3}) for i in range(n)]
    return evaluate_models(texts, examples, tasks={"toy": task}, seed=1, samples_per_task=1, **changes)


def _scored() -> EvalReport:
    scores = {"base": (0.1, 0.5), "champion": (0.5, 0.2), "candidate": (0.7, 0.3)}
    return _report({m: [f"{{'score': {a}, 'repeated': {b}}}"] * 6 for m, (a, b) in scores.items()})


@pytest.mark.parametrize(
    ("state", "by", "title"),
    [
        (DecisionState.PROMOTE, "gate", "# Passed the gate"),
        (DecisionState.REJECT, "gate", "# Rejected by the gate"),
        (DecisionState.WAITING, "gate", "# Waits for a person's approval"),
        (DecisionState.REFUSED, "Ann", "# Refused by Ann"),
        (None, "", "# Evaluation"),
    ],
)
def test_the_decision_comes_first_once_there_is_one(state: DecisionState | None, by: str, title: str) -> None:
    decision = Decision(state=state, by=by, reasons=("toy: score is better.",)) if state else None
    page = report_markdown(_scored(), decision=decision)
    assert page.splitlines()[0] == title
    assert ("- toy: score is better." in page) == (state is not None)


def test_the_table_of_a_task() -> None:
    page = report_markdown(_scored())
    assert "| metric | base | champion | candidate | candidate − champion | candidate − base |" in page
    assert (
        "| score | 0.100 | 0.500 | 0.700 | +0.200 [+0.200, +0.200] **better** | +0.600 [+0.600, +0.600] **better** |"
    ) in page
    assert (
        "| repeated (lower is better) | 0.500 | 0.200 | 0.300 | +0.100 [+0.100, +0.100] **worse** "
        "| -0.200 [-0.200, -0.200] **better** |"
    ) in page
    assert "| never | – | – | – | – | – |" in page


def test_difficulties_are_lines_of_their_own_without_what_never_had_a_value() -> None:
    lines = [line for line in report_markdown(_scored()).splitlines() if re.match(r"\| \w+.* \| g\d \| 2 \|", line)]
    assert len(lines) == 2 * 3
    assert not any("never" in line for line in lines)


def test_without_a_champion_there_is_no_column_for_it() -> None:
    page = report_markdown(_report({"base": ["0.1"] * 6, "candidate": ["0.2"] * 6}))
    assert "| metric | base | candidate | candidate − base |" in page
    assert "champion" not in page


def test_the_best_earlier_champion_is_compared_on_whole_tasks() -> None:
    page = report_markdown(_report({"base": ["0.1"] * 6, "best": ["0.6"] * 6, "champion": ["0.5"] * 6} | CANDIDATE))
    assert (
        "| metric | base | best | champion | candidate | candidate − champion | candidate − best | candidate − base |"
    ) in page
    assert "+0.200 [+0.200, +0.200] **better** | +0.100 [+0.100, +0.100] **better** |" in page
    assert (
        "| metric | level | n | base | best | champion | candidate | candidate − champion | candidate − base |" in page
    )


def test_what_is_not_finite_is_called_so() -> None:
    page = report_markdown(_report({"base": ["0.1"] * 6, "candidate": ["nan", *["0.2"] * 5]}))
    assert "| score | 0.100 | **not finite** | – |" in page


def test_a_page_renders_as_tables_with_the_task_token_visible() -> None:
    page = _html(report_markdown(_scored(), decision=Decision(state=DecisionState.PROMOTE, reasons=("a < b",))))
    assert page.count("<table>") == 3
    assert "&lt;toy&gt; who?" in page
    assert "a | *reference*" in page
    assert "<em>reference" not in page


def test_long_texts_are_cut() -> None:
    page = report_markdown(_report({"base": ["0.1"] * 6, "candidate": ["0.2"] * 6}, inputs="word " * 4000))
    assert "[…]" in html.unescape(_html(page))
    assert len(page) < 3 * TEXT_CHARS


def test_settings_are_read_as_a_sentence() -> None:
    texts = {"base": ["0.1"] * 6, "candidate": ["0.2"] * 6}
    settings = {"precision": "bf16", "max_new_tokens": {"toy": 5, "mcq": 7}}
    page = report_markdown(_report(texts, settings=settings, seconds={"base": 1.2}))
    assert "Settings: precision bf16, max_new_tokens (toy 5, mcq 7), seed 1, resamples 2000." in page
    assert "Generation: base 1 s." in page


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=60))
def test_nothing_in_a_text_acts_as_markdown(text: str) -> None:
    cell = _html(f"| a | b |\n| --- | --- |\n| x | {escape(text)} |")
    body = re.search(r"<td>x</td>\n<td>(.*)</td>\n</tr>\n</tbody>", cell, re.DOTALL)
    assert body is not None
    assert html.unescape(body[1]) == html.unescape(html.escape(" ".join(text.split())))


@pytest.mark.parametrize("text", ["____ was _ and ____ .", "a_b __c__ *d* ~~e~~ `f` [g](h) <i> &amp; \\| j"])
def test_what_questions_hold_comes_back_as_it_was(text: str) -> None:
    assert html.unescape(_html(escape(text))) == f"<p>{text}</p>\n"


def test_an_empty_answer_is_shown_as_such() -> None:
    report = _report({"base": ["None"] * 6, "candidate": ["0.2"] * 6})
    samples = (dataclasses.replace(report.samples[0], predictions={"base": " ", "candidate": "x"}),)
    assert "| **base** | *(nothing)* |" in report_markdown(dataclasses.replace(report, samples=samples))


def test_groups_stand_in_the_order_of_their_task() -> None:
    names = ("Hard", "Easy", "Medium")
    task = dataclasses.replace(
        toy_task("toy", METRICS, groups=3, names=names), groups=Groups("difficulty", ("Easy", "Medium", "Hard"))
    )
    examples = [Example("", "", "toy", f"u{i}", {"group": i % 3}) for i in range(6)]
    report = evaluate_models({"base": ["0.1"] * 6, "candidate": ["0.2"] * 6}, examples, tasks={"toy": task}, seed=1)
    for its in (report, EvalReport.from_json(report.to_json())):
        page = report_markdown(its)
        assert "### By difficulty" in page
        assert re.findall(r"\| score \| (\w+) \|", page) == ["Easy", "Medium", "Hard"]


def test_what_can_be_used_and_why_the_rest_was_lost_is_a_table() -> None:
    text = report_markdown(read_report())
    rows = [
        line for line in text.splitlines() if line.startswith(("| requested questions", "| base | ", "| champion |"))
    ]
    assert rows[:3] == [
        "| requested questions | usable | key not picked | repeated | wrong difficulty | not readable |",
        "| base | 0.000 | 0.000 | 0.000 | 0.000 | 1.000 |",
        "| champion | 0.000 | 1.000 | 0.000 | 0.000 | 0.000 |",
    ]
    assert "A requested question is usable if" in text
    assert "requested questions" not in report_markdown(_scored())


def test_what_the_inputs_do_not_have_is_marked() -> None:
    inputs = TASKS["summarize"].prompt("The lake of Lund froze.", {})
    examples = [Example(inputs, "Summary: The lake froze.", "summarize", f"u{i}") for i in range(3)]
    texts = {
        "base": ["Summary: The lake of Narnia_* froze."] * 3,
        "candidate": ["Summary: The lake of Lund froze."] * 3,
    }
    report = evaluate_models(texts, examples, tasks=TASKS, seed=1, samples_per_task=1, resamples=20)
    page = report_markdown(report, tasks=TASKS)
    assert "| **base** | Summary: The lake of Narnia **[?]**\\_\\* froze. |" in page
    assert "| **candidate** | Summary: The lake of Lund froze. |" in page
    assert page.count("are marked with **[?]**") == 1
    assert "[?]" not in report_markdown(report)


def test_what_the_examples_can_show_stands_above_each_tasks_table() -> None:
    its = Power("toy", "score", 6, deviation=0.1, margin=0.2, tasks=1, confidence=0.95)
    page = report_markdown(_scored(), power=[its])
    assert f"6 examples.\n\n{escape(its.sentence())}\n\n" in page
    assert "standard deviation" not in report_markdown(_scored())
