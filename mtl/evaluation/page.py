"""The report as one self-contained HTML page for the person who approves: no script, no network, any width, dark too.

What models and data sets wrote is data: jinja2 escapes all of it, and the page's own policy forbids anything active.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from mtl.decision import Decision
from mtl.evaluation.dataset_changes import DatasetChange
from mtl.evaluation.logged import logged_sentences
from mtl.evaluation.lost import bars, explanation
from mtl.evaluation.numbers import NONE, difference, number
from mtl.evaluation.origin import origin_sentences
from mtl.evaluation.parts import UNSUPPORTED, split_at
from mtl.evaluation.power import Power
from mtl.evaluation.report import BASE, BEST, CANDIDATE, CHAMPION, Comparison, EvalReport, QuestionReading, Sample
from mtl.evaluation.usable import picked
from mtl.printable import printable
from mtl.task import Groups, Metric, Task

INPUT_CHARS = 6000
"""Longest input, and longest text of a model, that is shown; the rest is in the data set and in the report."""

_FAULTS = {
    "options": "an option is repeated",
    "group": "not of a requested difficulty",
    "repeated": "asked before",
}
"""What stands at a question that cannot be used although the reader may pick its key."""

_WIDTH, _MIDDLE, _REACH = 240.0, 120.0, 112.0  # of a plot, in units of its viewBox


@dataclass(frozen=True, slots=True)
class Plot:
    """An interval on the plot's own scale: x of its ends and of its middle, `outcome` as its colour."""

    low: float
    high: float
    middle: float


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of a task or of a group: the models' means, and the difference with its plot."""

    metric: Metric
    group: str | None
    n: int
    means: Mapping[str, str]
    difference: str
    outcome: str
    plot: Plot | None


def report_page(
    report: EvalReport,
    *,
    title: str,
    tasks: Mapping[str, Task],
    decision: Decision | None = None,
    changes: Sequence[DatasetChange] = (),
    facts: Mapping[str, str] | None = None,
    power: Sequence[Power] = (),
) -> str:
    """The page. decision: about the version, None where there is none yet.

    tasks: those that can parse their own answers; others are shown as text. changes: of the data set since the
    champion. facts: name -> value of whatever else belongs under the verdict (version, run, data). power: what the
    examples can show.
    """
    against = report.opponent
    samples = [_sample_view(sample, tasks.get(sample.task)) for sample in report.samples]
    return _template().render(
        title=title,
        decision=decision,
        facts=facts or {},
        report=report,
        against=against,
        models=[model for model in (CANDIDATE, CHAMPION, BEST, BASE) if model in report.models],
        tasks=[_task_view(report, task, against=against) for task in report.metrics],
        power={its.task: its.sentence() for its in power},
        traffic=_traffic_view(report.traffic),
        samples=samples,
        marked=UNSUPPORTED.format(mark="[?]") if _any_marked(samples) else "",
        changes=[change for change in changes if change.changed],
        unchanged=sum(not change.changed for change in changes),
        known_data=bool(changes),
        settings={name: value for name, value in report.settings.items() if name != "reader"},
        origin=origin_sentences(report),
        confidence=f"{report.confidence:.0%}",
        middle=_MIDDLE,
        width=_WIDTH,
    )


@cache
def _template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    return environment.get_template("page.html")


def _task_view(report: EvalReport, task: str, *, against: str) -> dict[str, Any]:
    whole = [_row(report, task, metric, against=against, group=None) for metric in report.metrics[task]]
    by_group = [
        {"name": name, "rows": list(_group_rows(report, task, name, against=against))}
        for name in report.group_names(task)
    ]
    judged = [metric for metric in report.metrics[task] if metric.higher_is_better is not None]
    best = judged if BEST in report.models else []
    return {
        "name": task,
        "n": report.examples[task],
        "rows": [row for row in whole if row.metric.higher_is_better is not None],
        "best": [_row(report, task, metric, against=BEST, group=None) for metric in best],
        "neutral": [row for row in whole if row.metric.higher_is_better is None],
        "groups": by_group,
        "kind": report.groups.get(task, Groups()).kind,
        "bars": (found := bars(report, task)),
        "note": explanation(report) if found else "",
    }


def _traffic_view(traffic: EvalReport | None) -> dict[str, Any] | None:
    """What was measured on logged texts.

    Never the texts: whoever may read a report is not thereby somebody who may read what people sent, and the page stays
    in MLflow and in the release after the log's retention has ended.
    """
    if traffic is None:
        return None
    tasks = [_task_view(traffic, task, against=traffic.opponent) for task in traffic.metrics]
    return {"text": " ".join(logged_sentences(traffic)), "tasks": tasks}


def _group_rows(report: EvalReport, task: str, group: str, *, against: str) -> Iterator[Row]:
    for metric in report.metrics[task]:
        row = _row(report, task, metric, against=against, group=group)
        if any(value != "–" for value in row.means.values()):
            yield row


def _row(report: EvalReport, task: str, metric: Metric, *, against: str, group: str | None) -> Row:
    found = report.comparison(against, task, metric.name, group=group)
    return Row(
        metric=metric,
        group=group,
        n=_examples(report, task, group),
        means={model: number(_mean(report, model, task, metric.name, group)) for model in report.models},
        difference=_difference(found),
        outcome=_outcome(found, metric),
        plot=_plot(found, metric),
    )


def _examples(report: EvalReport, task: str, group: str | None) -> int:
    result = next(iter(report.results.values()))[task]
    return result.n if group is None else result.groups[group].n


def _mean(report: EvalReport, model: str, task: str, metric: str, group: str | None) -> float | None:
    if group is None:
        return report.mean(model, task, metric)
    inner = report.results[model][task].groups.get(group)
    return None if inner is None else inner.means.get(metric)


def _known(found: Comparison | None) -> Comparison | None:
    """The comparison if all of its numbers are numbers."""
    if found is None or not all(map(math.isfinite, (found.difference, found.low, found.high))):
        return None
    return found


def _outcome(found: Comparison | None, metric: Metric) -> str:
    """better, worse, unclear (the interval holds 0), neutral (neither end is better) or unknown."""
    known = _known(found)
    if known is None:
        return "unknown"
    if metric.higher_is_better is None:
        return "neutral"
    if known.low <= 0 <= known.high:
        return "unclear"
    return "better" if (known.low > 0) == metric.higher_is_better else "worse"


def _plot(found: Comparison | None, metric: Metric) -> Plot | None:
    """On a scale of its own that is symmetric around 0; a closed range is never stretched beyond a tenth of itself."""
    known = _known(found)
    if known is None:
        return None
    reach = max(abs(known.low), abs(known.high))
    if metric.low is not None and metric.high is not None:
        reach = max(reach, 0.1 * (metric.high - metric.low))
    scale = _REACH / reach if reach else 0.0
    low, high, middle = (round(_MIDDLE + scale * value, 1) for value in (known.low, known.high, known.difference))
    return Plot(low, high, middle)


def _sample_view(sample: Sample, task: Task | None) -> dict[str, Any]:
    texts = {"reference": sample.reference, **{m: sample.predictions[m] for m in _order(sample.predictions)}}
    views = [_text_view(sample, name, text, task) for name, text in texts.items()]
    aside = (BEST, BASE) if CHAMPION in texts else ()  # no opponents then
    return {
        "sample": sample,
        "inputs": _cut(sample.inputs),
        "gain": None if sample.gain is None else f"{sample.gain:+.3f}",
        "texts": [view for view in views if view["name"] not in aside],
        "aside": [view for view in views if view["name"] in aside],
    }


def _any_marked(views: Sequence[Mapping[str, Any]]) -> bool:
    sides = (side for view in views for side in (*view["texts"], *view["aside"]))
    return any(marked for side in sides for _, marked in side["parts"])


def _order(names: Mapping[str, str]) -> list[str]:
    return [name for name in (CHAMPION, CANDIDATE, BEST, BASE) if name in names]


def _text_view(sample: Sample, name: str, text: str, task: Task | None) -> dict[str, Any]:
    """`items`: how the task draws its answer, where the text is one, each with what the reader made of it.

    `parts`: of the text, each with whether it is something that the inputs do not have.
    """
    parsed = task.parse(text) if task is not None else None
    line = _cut(" ".join(text.split()))
    items = task.draw(parsed) if task is not None and parsed is not None else []
    readings = sample.readings.get(name, ())
    marks = [_mark(reading) for reading in readings] if len(readings) == len(items) else [None] * len(items)
    unsupported = task.unsupported(sample.inputs, line) if task is not None else ()
    return {
        "name": name,
        "parts": split_at(line, unsupported),
        "items": list(zip(items, marks, strict=True)),
        "unread": task is not None and parsed is None and name != "reference",
    }


def _mark(reading: QuestionReading) -> dict[str, Any]:
    """Whether the reader picks the key, how likely it holds it, and what else is wrong with the question."""
    pick = picked(reading.with_passage)
    return {
        "agrees": pick == reading.key,
        "key": number(reading.with_passage[reading.key], digits=2),
        "pick": chr(ord("A") + pick),
        "fault": _FAULTS.get(reading.fault or ""),
    }


def _cut(text: str) -> str:
    return text if len(text) <= INPUT_CHARS else text[:INPUT_CHARS].rstrip() + " […]"


def _difference(found: Comparison | None) -> str:
    known = _known(found)
    return NONE if known is None else difference(known.difference, known.low, known.high)
