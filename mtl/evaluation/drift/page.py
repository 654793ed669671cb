"""What was found as one self-contained HTML page with plots, and as Markdown: no script, no network, dark too.

Words come from texts of others: jinja2 escapes all of them in the page, and `escape` in Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from mtl.evaluation.drift.compare import FEWEST_TEXTS, drifted
from mtl.evaluation.drift.domain import FEWEST
from mtl.evaluation.drift.records import Bars, Difference, DriftReport, TaskDrift, Word
from mtl.evaluation.markdown import escape
from mtl.printable import printable

_ROC, _WIDTH, _HEIGHT = 200.0, 480.0, 120.0
"""Sides of the plots, in units of their viewBox."""
_IN_MARKDOWN = 8
"""Words of each side."""


def drift_page(report: DriftReport) -> str:
    """The page."""
    return _template().render(
        report=report,
        headline=headline(report),
        comparisons=[(its, [_view(task, report.bars) for task in its.tasks]) for its in report.comparisons],
        shown=_shown,
        p_value=_p,
        fewest=FEWEST,
        fewest_texts=FEWEST_TEXTS,
        roc=_ROC,
        width=_WIDTH,
        height=_HEIGHT,
    )


def headline(report: DriftReport) -> str:
    """One sentence: whether there is drift, and in what."""
    if report.alarms:
        return "Drift: " + ", ".join(f"{alarm.what} of {alarm.task}" for alarm in report.alarms)
    return "No drift" if report.comparisons else "Nothing new to compare"


def drift_markdown(report: DriftReport, *, page: str) -> str:
    """The same for the page of a flow run. page: where the HTML page is."""
    blocks = [f"# {headline(report)}", *(escape(alarm.text) for alarm in report.alarms)]
    blocks += [
        f"Compared with the data that {escape(report.name)} was trained on (`{report.since[:12]}`). An alarm is an "
        f"area above {report.bars.auc:g} with a p-value below {report.bars.p:g}."
    ]
    if report.fault:
        blocks.append(f"The requests are not compared, because the request log cannot be read: {escape(report.fault)}")
    for its in report.comparisons:
        blocks += [f"## {escape(its.what)}", *(_mix_line(its.mix) if its.mix else [])]
        blocks += [_task_text(task, report.bars) for task in its.tasks]
    return "\n\n".join([*blocks, f"Page with plots: `{page}`"]) + "\n"


def _task_text(task: TaskDrift, bars: Bars) -> str:
    name, sizes = escape(task.task), f"{task.fresh} texts against {task.reference}"
    if task.domain is None:
        return f"**{name}**: too few texts to compare ({sizes}, {FEWEST_TEXTS} are needed)."
    domain = task.domain
    verdict = "**drift**" if drifted(domain, bars) else "no drift"
    lines = [f"**{name}**: {verdict}, area under the ROC curve {domain.auc:.2f}, p {_p(domain.p)}, {sizes}."]
    lines += ["", "| | reference | fresh | distance | p |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {escape(its.name)} | {escape(_shown(its.reference))} | {escape(_shown(its.fresh))} | {its.distance:.2f} "
        f"| {_p(its.p)} |"
        for its in task.differences
    ]
    lines += ["", f"More frequent: {_list(domain.fresh_words)}.  ", f"Rarer: {_list(domain.reference_words)}."]
    return "\n".join(lines)


def _mix_line(mix: Difference) -> list[str]:
    return [f"Task mix: {escape(_shown(mix.fresh))}; it was {escape(_shown(mix.reference))} (p {_p(mix.p)})."]


def _list(words: Sequence[Word]) -> str:
    return ", ".join(escape(word.word) for word in words[:_IN_MARKDOWN]) or "no words"


def _shown(value: float | Mapping[str, float]) -> str:
    """`412`, `0.0031`, or `Easy 40%, Hard 60%`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {share:.0%}" for name, share in value.items())
    return f"{value:.0f}" if value >= 10 else f"{value:.3g}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 else "< 0.001"


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    return environment.get_template("page.html")


def _view(task: TaskDrift, bars: Bars) -> dict[str, Any]:
    """A task with its plots in the units of their viewBox."""
    return {
        "its": task,
        "alarm": drifted(task.domain, bars),
        "roc": " ".join(f"{_ROC * x:.1f},{_ROC * (1 - y):.1f}" for x, y in task.domain.roc) if task.domain else "",
        "bins": _bins(task.lengths),
        "mixes": [its for its in task.differences if isinstance(its.fresh, Mapping)],
    }


def _bins(lengths: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Two bars for each bin of lengths."""
    if not lengths:
        return []
    edges, sides = lengths["edges"], (lengths["reference"], lengths["fresh"])
    top = max(*sides[0], *sides[1]) or 1.0
    step = _WIDTH / len(sides[0])
    return [
        {
            "x": round(step * place, 1),
            "width": round(0.42 * step, 1),
            "heights": [round(_HEIGHT * side[place] / top, 1) for side in sides],
            "title": f"{edges[place]:.0f} to {edges[place + 1]:.0f} tokens: reference {sides[0][place]:.1%}, "
            f"fresh {sides[1][place]:.1%}",
        }
        for place in range(len(sides[0]))
    ]
