"""The approver's page: whole in itself, verdict first, intervals drawn, nothing in it active."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from mtl.decision import Decision, DecisionState
from mtl.evaluation.answerability import with_reader
from mtl.evaluation.dataset_changes import dataset_changes
from mtl.evaluation.page import report_page
from mtl.evaluation.power import Power
from mtl.evaluation.report import EvalReport
from mtl.evaluation.score import evaluate_models
from mtl.example import Example
from mtl.task import Metric
from mtl.tasks.table import TASKS
from tests.evaluation.test_answerability import Finder
from tests.evaluation.test_with_tasks import ECHOES, EXAMPLES, REFERENCES
from tests.support.toy_task import toy_task

EVIL = "</div><script>alert(1)</script><img src=x onerror=alert(2)> {{ 7*7 }}"


def _report(**predictions: list[str]) -> EvalReport:
    return evaluate_models(predictions, EXAMPLES, tasks=TASKS, seed=1, resamples=200)


@pytest.fixture(scope="module")
def report() -> EvalReport:
    worse = [text if i % 5 else "" for i, text in enumerate(REFERENCES)]
    return _report(base=ECHOES, champion=worse, candidate=REFERENCES)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "line", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "circle"):
            assert self.open.pop() == tag


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page)
    assert parser.open == [], "every element is closed"
    return parser.seen


@pytest.mark.parametrize(
    ("state", "words"),
    [(DecisionState.PROMOTE, "Passed the gate"), (DecisionState.REFUSED, "Refused by Ann"), (None, "Evaluation")],
)
def test_the_decision_stands_first_once_there_is_one(
    report: EvalReport, state: DecisionState | None, words: str
) -> None:
    decision = Decision(state=state, by="Ann", reasons=("mcq: it is so.",)) if state else None
    page = report_page(report, title="m v1", tasks=TASKS, decision=decision)
    heading = re.search(r"<h1>(.*?)</h1>", page)
    assert heading is not None and heading[1] == words
    assert ("mcq: it is so." in page) == (state is not None)
    assert page.index("<h1>") < page.index("<h2>")


def test_it_is_whole_in_itself(report: EvalReport) -> None:
    seen = tags(report_page(report, title="m v1", tasks=TASKS))
    assert not any("src" in attributes or "href" in attributes for _, attributes in seen)
    assert {"script", "link", "iframe", "img"}.isdisjoint(tag for tag, _ in seen)


def test_intervals_are_plots_on_the_right_side_of_zero(report: EvalReport) -> None:
    seen = tags(report_page(report, title="m v1", tasks=TASKS))
    plots = {a["aria-label"]: a["class"] for tag, a in seen if tag == "svg"}
    assert any(label.startswith("difference +0.2") and kind == "plot better" for label, kind in plots.items() if label)
    centres = [float(a["cx"] or 0) for tag, a in seen if tag == "circle"]
    assert all(0 <= x <= 240 for x in centres)
    zero = {float(a["x1"] or 0) for tag, a in seen if tag == "line" and a.get("class") == "zero"}
    assert zero == {120.0}


@pytest.mark.parametrize(("better", "outcome"), [(True, "better"), (False, "worse"), (None, "neutral")])
def test_colours_say_what_a_difference_means(better: bool | None, outcome: str) -> None:
    metric = Metric("score", higher_is_better=better)
    examples = [Example("", "", "toy", f"u{i}") for i in range(9)]
    texts = {"champion": ["0.2"] * 9, "candidate": ["0.4"] * 9}
    found = evaluate_models(texts, examples, tasks={"toy": toy_task("toy", (metric,))}, seed=1)
    seen = tags(report_page(found, title="m v1", tasks={}))
    (plot,) = [a["class"] for tag, a in seen if tag == "svg"]
    assert plot == f"plot {outcome}"
    (dot,) = [float(a["cx"] or 0) for tag, a in seen if tag == "circle"]
    assert dot > 120


def test_the_best_earlier_champion_has_a_table_of_its_own_and_stands_aside() -> None:
    found = _report(base=ECHOES, best=ECHOES, champion=ECHOES, candidate=REFERENCES)
    found = dataclasses.replace(found, settings={**found.settings, "best": "v2"})
    page = report_page(found, title="m v1", tasks=TASKS)
    assert page.count("<summary>Against the best earlier champion, v2</summary>") == len(found.metrics)
    judged = [metric for metrics in found.metrics.values() for metric in metrics if metric.higher_is_better is not None]
    head = page.index("candidate − best")
    assert page.count("candidate − best") == len(found.metrics) and len(judged) > len(found.metrics)
    assert page.index("candidate − champion") < head, "the opponent's comes first"
    assert page.count("<summary>What the best wrote</summary>") == len(found.samples)
    tags(page)


def test_without_one_the_page_says_nothing_of_it(report: EvalReport) -> None:
    page = report_page(report, title="m v1", tasks=TASKS)
    assert "best earlier" not in page and "candidate − best" not in page


def test_questions_are_a_quiz_with_the_key_hidden(report: EvalReport) -> None:
    page = report_page(report, title="m v1", tasks=TASKS)
    assert page.count('<ol class="quiz">') >= 4
    assert "<details><summary>Show the key</summary>A</details>" in page
    assert "<details open" not in page


def read_report() -> EvalReport:
    """With a reader: the champion has wrong keys, and the candidate's hard questions repeat its easy ones."""
    wrong = [text.replace("Correct: A", "Correct: B") for text in REFERENCES]
    repeats = [re.sub(r"Where were boats of (\w+) left", r"Where is the \1 lake", text) for text in REFERENCES]
    texts = {"base": ECHOES, "champion": wrong, "candidate": repeats}
    read = with_reader(TASKS, EXAMPLES, texts, Finder(), per_task=None, seed=1)
    return evaluate_models(
        texts, EXAMPLES, tasks=read.tasks, seed=1, resamples=50, settings=read.settings, readings=read.readings
    )


def test_a_bar_for_each_model_shows_what_can_be_used_and_why_the_rest_was_lost() -> None:
    report = read_report()
    page = report_page(report, title="m v1", tasks=TASKS)
    seen = tags(page)
    stacks = [a["aria-label"] for tag, a in seen if tag == "svg" and a["class"] == "stack"]
    none = "key not picked 0.000, repeated 0.000, wrong difficulty 0.000, not readable"
    assert stacks == [
        f"base: usable 0.000, {none} 1.000",
        "champion: usable 0.000, key not picked 1.000, repeated 0.000, wrong difficulty 0.000, not readable 0.000",
        "candidate: usable 0.750, key not picked 0.000, repeated 0.250, wrong difficulty 0.000, not readable 0.000",
    ]
    ends = [(a["class"], float(a["x"] or 0), float(a["width"] or 0)) for tag, a in seen if tag == "rect"]
    assert [name for name, *_ in ends] == ["lost_unread", "lost_key", "usable", "lost_repeated"]
    assert ends[2][2] == ends[3][1] and ends[3][1] + ends[3][2] == 600
    assert page.count("A requested question is usable if") == 1
    assert page.index("usable 0.000") < page.index("counts_obeyed")
    assert report_page(EvalReport.from_json(report.to_json()), title="m v1", tasks=TASKS) == page


def test_each_question_of_the_quiz_carries_the_readers_mark() -> None:
    page = report_page(read_report(), title="m v1", tasks=TASKS)
    assert "✓ reader agrees (probability of the key 1.00)</div>" in page
    assert "✗ reader disagrees (probability of the key 0.00)</div>" in page
    assert "<details><summary>Show the key</summary>B (the reader picks A)</details>" in page
    assert "✓ reader agrees (probability of the key 1.00); ✗ asked before</div>" in page


def test_without_a_reader_there_is_neither_bar_nor_mark(report: EvalReport) -> None:
    page = report_page(report, title="m v1", tasks=TASKS)
    assert 'class="stack"' not in page and "reader agrees" not in page


def test_samples_are_worst_median_best_and_random_on_the_same_inputs(report: EvalReport) -> None:
    for task in ("summarize", "mcq"):
        own = [sample for sample in report.samples if sample.task == task]
        assert [sample.kind for sample in own] == ["worst", "median", "best", "random", "random", "random"]
        gains = [sample.gain for sample in own[:3] if sample.gain is not None]
        assert gains == sorted(gains) and len(gains) == 3
        assert len({sample.uid for sample in own}) == 6
        best = own[2]
        assert best.predictions["champion"] == "" and best.predictions["candidate"] == best.reference


def test_nothing_that_a_model_or_a_source_wrote_becomes_markup() -> None:
    examples = [Example(EVIL, EVIL, "toy", f"u{i}", {"group": EVIL}) for i in range(4)]
    task = toy_task("toy", (Metric("score", source=EVIL),), groups=1)
    found = evaluate_models({"base": ["0.1"] * 4, "candidate": ["0.2"] * 4}, examples, tasks={"toy": task}, seed=1)
    changes = dataset_changes({"fingerprint": EVIL}, {"fingerprint": "b"})
    decision = Decision(state=DecisionState.REFUSED, by=EVIL, reasons=(EVIL,))
    page = report_page(found, title=EVIL, tasks={}, decision=decision, changes=changes, facts={EVIL: EVIL})
    seen = tags(page)
    assert {"script", "img"}.isdisjoint(tag for tag, _ in seen)
    assert not any(name.startswith("on") for _, attributes in seen for name in attributes)
    assert "{{ 7*7 }}" in page and "default-src 'none'" in page


INVENTED = 'Summary: The <i>lake</i> of Narnia froze in 1999, said Zed & Sons "of it".'


@pytest.mark.parametrize("model", ["candidate", "champion", "base"])
def test_what_the_inputs_do_not_have_is_marked_in_the_summaries_of_all_models(model: str) -> None:
    texts = dict.fromkeys(("base", "champion", "candidate"), REFERENCES) | {model: [INVENTED] * len(REFERENCES)}
    page = report_page(_report(**texts), title="m v1", tasks=TASKS)
    for word in ("Narnia", "1999", "Zed", "Sons"):
        assert page.count(f'<mark title="not found in the inputs">{word}</mark>') == 6
    assert "The &lt;i&gt;lake&lt;/i&gt; of <mark" in page and "&amp; <mark" in page
    assert page.count("marked with [?]") == 1
    tags(page)


def test_nothing_is_marked_where_the_inputs_have_everything_or_no_task_tells(report: EvalReport) -> None:
    assert "<mark" not in report_page(report, title="m v1", tasks=TASKS)
    invented = _report(base=ECHOES, candidate=[INVENTED] * len(REFERENCES))
    page = report_page(invented, title="m v1", tasks={})
    assert "<mark" not in page and "[?]" not in page.split("</style>")[1]


def manifest(fingerprint: str, rows: int, *, easy: int = 1) -> dict[str, Any]:
    counts = {"rows": rows, "quarantined": 0, "examples": rows, "by_difficulty": {"Easy": easy}}
    source = {"task": "mcq", "uri": "demo", "revision": None, "sha256": fingerprint * 64}
    return {"fingerprint": fingerprint * 64, "sources": [source], "counts": {"mcq": {"train": counts}}}


def test_changes_of_the_data_are_listed_and_the_rest_is_counted(report: EvalReport) -> None:
    changes = dataset_changes(manifest("a", 100), manifest("b", 150))
    changed = {change.what: (change.before, change.now) for change in changes if change.changed}
    assert changed["mcq train rows"] == ("100", "150")
    assert changed["source: mcq demo"] == ("a" * 12, "b" * 12)
    assert "mcq train Easy" not in changed
    page = report_page(report, title="m v1", tasks=TASKS, changes=changes)
    assert "<td>mcq train rows</td><td>100</td><td>150</td>" in page
    assert "2 more facts are unchanged" in page
    same = report_page(report, title="m v1", tasks=TASKS, changes=dataset_changes(manifest("a", 1), manifest("a", 1)))
    assert "Unchanged: both were trained on the same data set." in same


def test_a_value_that_is_not_finite_is_called_so_and_not_drawn() -> None:
    examples = [Example("", "", "toy", f"u{i}") for i in range(3)]
    task = toy_task("toy", (Metric("score"),))
    texts = {"base": ["0.1"] * 3, "candidate": ["nan", "0.2", "0.3"]}
    page = report_page(evaluate_models(texts, examples, tasks={"toy": task}, seed=1), title="m", tasks={})
    assert "not finite" in page and "<svg" not in page


def test_what_the_examples_can_show_stands_below_each_tasks_metrics(report: EvalReport) -> None:
    its = Power("mcq", "parsed", 6, deviation=0.1, margin=0.2, tasks=2, confidence=0.95)
    page = report_page(report, title="m v1", tasks=TASKS, power=[its])
    assert f'<p class="soft">{its.sentence()}</p>' in page
    assert "standard deviation" not in report_page(report, title="m v1", tasks=TASKS)
