"""The report as Markdown: the verdict first, one table a task, its groups, samples side by side.

Plain GitHub tables, so that it reads in Prefect's UI and in a terminal alike. What models wrote is data: everything in
it that Markdown or HTML would act on is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtl.decision import Decision
from mtl.evaluation.logged import logged_sentences
from mtl.evaluation.lost import bars, explanation
from mtl.evaluation.numbers import NONE, difference, number
from mtl.evaluation.origin import origin_sentences
from mtl.evaluation.parts import UNSUPPORTED, split_at
from mtl.evaluation.power import Power
from mtl.evaluation.report import BASE, BEST, CANDIDATE, CHAMPION, Comparison, EvalReport, Sample
from mtl.printable import printable
from mtl.task import Groups, Metric, Task

INPUT_CHARS, TEXT_CHARS = 600, 1200
"""Longest input and longest text of a sample that is shown."""

_MARK = "**[?]**"
_ACTIVE = re.compile(r"([\\`*\[\]|~#<>&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def report_markdown(
    report: EvalReport,
    *,
    decision: Decision | None = None,
    tasks: Mapping[str, Task] | None = None,
    power: Sequence[Power] = (),
) -> str:
    """The page of one report. decision: about the version, None where there is none yet.

    tasks: those that can tell what of their answers the inputs do not support. power: what the examples can show.
    """
    shown = {its.task: its.sentence() for its in power}
    blocks = [*_decided(decision), *_overview(report)]
    for task in report.metrics:
        blocks += [f"## {escape(task)}", f"{report.examples[task]} examples."]
        blocks += [escape(shown[task])] if task in shown else []
        blocks += _usable(report, task)
        blocks += [_task_table(report, task)]
        blocks += _group_tables(report, task)
    blocks += _traffic(report)
    blocks += _samples(report, tasks or {})
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Text as it stands, on one line: nothing in it is Markdown or HTML any more."""
    return _escaped(" ".join(text.split()))


def _escaped(line: str) -> str:
    return _ACTIVE.sub(lambda found: _ENTITIES.get(found[1], "\\" + found[1]), printable(line))


def code(text: str) -> str:
    """Text as a code span, on one line."""
    return f"`{printable(' '.join(text.split())).replace('`', chr(39)).replace('|', chr(39))}`"


def _decided(decision: Decision | None) -> list[str]:
    if decision is None:
        return ["# Evaluation"]
    return [f"# {escape(decision.title)}", "\n".join(f"- {escape(reason)}" for reason in decision.reasons)]


def _overview(report: EvalReport) -> list[str]:
    examples = ", ".join(f"{n} {escape(task)}" for task, n in report.examples.items()) or "none"
    seconds = ", ".join(f"{model} {taken:.0f} s" for model, taken in report.seconds.items())
    settings = ", ".join(
        f"{escape(name)} {escape(_setting(value))}" for name, value in report.settings.items() if name != "reader"
    )
    lines = [f"Examples: {examples}.", f"Intervals: {report.confidence:.0%}, paired bootstrap over the examples."]
    lines += [f"Generation: {seconds}."] if seconds else []
    lines += [said] if (said := origin_sentences(report)) else []
    lines += [f"Settings: {settings}."] if settings else []
    return ["  \n".join(lines)]


def _setting(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return f"({', '.join(f'{name} {inner}' for name, inner in value.items())})"


def _opponents(report: EvalReport) -> list[str]:
    return [name for name in (CHAMPION, BEST, BASE) if name in report.models and CANDIDATE in report.models]


def _opponents_in_groups(report: EvalReport) -> list[str]:
    """Not the best earlier champion, against which whole tasks alone are judged."""
    return [name for name in _opponents(report) if name != BEST]


def _task_table(report: EvalReport, task: str) -> str:
    """One line a metric; a difference whose interval leaves out 0 says which way it goes."""
    opponents = _opponents(report)
    rows = [
        [
            _metric_name(metric),
            *(_number(report.mean(model, task, metric.name)) for model in report.models),
            *(_difference(report.comparison(against, task, metric.name), metric) for against in opponents),
        ]
        for metric in report.metrics[task]
    ]
    return _table(["metric", *report.models, *(f"candidate − {against}" for against in opponents)], rows)


def _usable(report: EvalReport, task: str) -> list[str]:
    """A line a model: how many of the requested questions can be used, and why the others cannot."""
    found = bars(report, task)
    if not found:
        return []
    header = ["requested questions", *(part.words for part in next(iter(found.values())))]
    rows = [[model, *(part.shown for part in parts)] for model, parts in found.items()]
    return [_table(map(escape, header), rows), *filter(None, [escape(explanation(report))])]


def _group_tables(report: EvalReport, task: str) -> list[str]:
    """A line a metric and group; those without a value anywhere are left out."""
    names = report.group_names(task)
    rows = [
        row for metric in report.metrics[task] for name in names if (row := _group_row(report, task, metric, name=name))
    ]
    kind = escape(report.groups.get(task, Groups()).kind)
    compared = [f"candidate − {against}" for against in _opponents_in_groups(report)]
    return [f"### By {kind}", _table(["metric", kind, "n", *report.models, *compared], rows)] if rows else []


def _group_row(report: EvalReport, task: str, metric: Metric, *, name: str) -> list[str] | None:
    groups = [report.results[model][task].groups[name] for model in report.models]
    means = [group.means.get(metric.name) for group in groups]
    if all(mean is None for mean in means):
        return None
    compared = [report.comparison(against, task, metric.name, group=name) for against in _opponents_in_groups(report)]
    return [
        _metric_name(metric),
        escape(name),
        str(groups[0].n),
        *map(_number, means),
        *(_difference(comparison, metric) for comparison in compared),
    ]


def _traffic(report: EvalReport) -> list[str]:
    """What was measured on logged texts. The report has no samples of them: what people sent is not for its readers."""
    if report.traffic is None:
        return []
    blocks = ["## Logged texts", escape(" ".join(logged_sentences(report.traffic)))]
    for task, count in report.traffic.examples.items():
        blocks += [f"### {escape(task)}, {count} logged texts", *_usable(report.traffic, task)]
        blocks += [_task_table(report.traffic, task)]
    return blocks


def _samples(report: EvalReport, tasks: Mapping[str, Task]) -> list[str]:
    blocks: list[str] = []
    for place, sample in enumerate(report.samples, start=1):
        title = f"### {place}. {escape(sample.task)} {code(sample.uid)} ({sample.kind})"
        blocks += [title, _sample_table(sample, tasks.get(sample.task))]
    marked = [UNSUPPORTED.format(mark=_MARK)] if any(_MARK in block for block in blocks) else []
    return ["## Side by side", *marked, *blocks] if blocks else []


def _sample_table(sample: Sample, task: Task | None) -> str:
    texts = {"reference": sample.reference, **sample.predictions}
    rows = [["inputs", _text(sample.inputs, INPUT_CHARS)]]
    rows += [[f"**{name}**", _text(text, TEXT_CHARS, sample.inputs, task)] for name, text in texts.items()]
    return _table(["", "text"], rows)


def _text(text: str, limit: int, inputs: str = "", task: Task | None = None) -> str:
    """Escaped after it is cut, so that no escape is cut in two; marked where the task says that the inputs lack it."""
    line = " ".join(text.split())
    line = line if len(line) <= limit else line[:limit].rstrip() + " […]"
    parts = split_at(line, task.unsupported(inputs, line) if task is not None else ())
    return "".join(_escaped(part) + (f" {_MARK}" if marked else "") for part, marked in parts) or "*(nothing)*"


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    names = list(header)
    lines = [names, ["---"] + ["---:" if len(names) > 2 else "---"] * (len(names) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _metric_name(metric: Metric) -> str:
    note = {True: "", False: " (lower is better)", None: " (neither is better)"}[metric.higher_is_better]
    return escape(metric.name) + note


def _number(value: float | None) -> str:
    return number(value, not_finite="**not finite**")


def _difference(comparison: Comparison | None, metric: Metric) -> str:
    """`+0.031 [+0.012, +0.050]` and, where the interval leaves out 0, whether that is better or worse."""
    if comparison is None or not all(map(math.isfinite, (comparison.difference, comparison.low, comparison.high))):
        return NONE
    numbers = difference(comparison.difference, comparison.low, comparison.high)
    if metric.higher_is_better is None or comparison.low <= 0 <= comparison.high:
        return numbers
    return f"{numbers} **{'better' if (comparison.low > 0) == metric.higher_is_better else 'worse'}**"
