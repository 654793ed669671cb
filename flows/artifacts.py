"""What a person finds on the page of a flow run: data set, metrics, the report, links.

Text of rows, answers and people stands in the report alone, escaped. Tables hold names of tasks and metrics, and
numbers: one of Prefect's two interfaces draws HTML in the cells of a table.
"""

from __future__ import annotations

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from mtl import layout
from mtl.config.retrain import RetrainConfig
from mtl.decision import Decision
from mtl.evaluation.drift.page import drift_markdown, headline
from mtl.evaluation.drift.records import DriftReport
from mtl.evaluation.markdown import escape
from mtl.evaluation.numbers import number
from mtl.evaluation.report import EvalReport
from mtl.pipeline.monitor import ChampionCheck
from mtl.pipeline.records import PreparedDataset, RegisteredVersion, Start
from mtl.pipeline.report import version_text
from mtl.settings import load_settings

_COUNTS = ("rows", "kept", "merged", "quarantined", "examples")


def dataset_table(dataset: PreparedDataset) -> None:
    """Rows in and examples out, a line for each task and split."""
    rows = [
        {
            "task": task,
            "split": split,
            **{name: getattr(counts, name) for name in _COUNTS},
        }
        for task, splits in dataset.manifest.counts.items()
        for split, counts in splits.items()
    ]
    warnings = "".join(f"\n\n**{item.text}.** {item.do}." for item in dataset.unpromotable)
    create_table_artifact(rows, key="dataset", description=f"data set {dataset.fingerprint[:12]}{warnings}")


def start_note(start: Start) -> None:
    """Which adapter training starts from, and why."""
    create_markdown_artifact(
        f"**{start.headline}**: {escape(start.reason)}", key="start", description="start of training"
    )


def metrics_table(report: EvalReport) -> None:
    """One line a task and metric, a column a model."""
    rows = [
        {"task": task, "metric": name, **{model: _shown(report.mean(model, task, name)) for model in report.models}}
        for task in report.examples
        for name in (metric.name for metric in report.metrics[task])
    ]
    create_table_artifact(rows, key="metrics", description="means over the held-out examples")


def champion_table(found: ChampionCheck) -> None:
    """The champion's scores now beside those of its release."""
    rows = [
        {"task": task, "metric": metric, "now": _shown(value), "at its release": _shown(_before(found, task, metric))}
        for task, metrics in found.now.items()
        for metric, value in metrics.items()
    ]
    create_table_artifact(rows, key="champion", description=f"{found.name} on today's data")


def _before(found: ChampionCheck, task: str, metric: str) -> float | None:
    return found.then.get(task, {}).get(metric)


def drift_text(found: DriftReport) -> None:
    """How new texts differ from the champion's training data, and where the page with plots is."""
    page = f"{load_settings().store.rstrip('/')}/{found.page}"
    create_markdown_artifact(drift_markdown(found, page=page), key="drift", description=headline(found))


def report_page(config: RetrainConfig, report: EvalReport, decision: Decision) -> None:
    """The evaluation report with the decision on top."""
    text = version_text(config, report, decision)
    create_markdown_artifact(text, key="report", description="evaluation and decision")


def links(registered: RegisteredVersion, dataset: PreparedDataset) -> None:
    """The report's page, the MLflow version if there is a server with pages, and where everything is kept."""
    name = registered.name
    text = f"report of {name}"
    create_link_artifact(registered.report_url, key="report-page", link_text=text, description=text)
    if registered.url:
        create_link_artifact(registered.url, key="mlflow-version", link_text=name, description=f"{name} in MLflow")
    create_markdown_artifact(_places(registered, dataset), key="places", description=f"where {name} is kept")


def _places(registered: RegisteredVersion, dataset: PreparedDataset) -> str:
    """MLflow's pages as links; objects of the store by the address that its clients take."""
    pages = {"MLflow": (registered.name, registered.url), "report": ("report.html", registered.report_url)}
    store = load_settings().store.rstrip("/")
    lines = [f"- {what}: [{text}]({url})" for what, (text, url) in pages.items() if url]
    lines += [f"- release: `{store}/{registered.release}`"]
    lines += [f"- data set: `{store}/{layout.dataset_prefix(dataset.fingerprint)}`"]
    return "\n".join([*lines, "", f"`mtl pull v{registered.version} DEST` fetches the release, verified."])


def _shown(value: float | None) -> str:
    return number(value, digits=4)
