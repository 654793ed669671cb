"""What a person finds on the page of a flow run: data set, metrics, the report, links.

Text of rows, answers and people stands in the report alone, escaped. Tables hold names of tasks and metrics, and
numbers: one of Prefect's two interfaces draws HTML in the cells of a table.
"""

from __future__ import annotations

from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from mtl.chain import judge
from mtl.settings import load_settings

_COUNTS = ("rows", "kept", "merged", "quarantined", "examples")


def dataset_table(manifest: dict[str, Any]) -> None:
    """Rows in and examples out, a line for each task and split."""
    rows = [
        {
            "task": task,
            "split": split,
            **{name: counts[name] for name in _COUNTS},
        }
        for task, splits in manifest["counts"].items()
        for split, counts in splits.items()
    ]
    warnings = "".join(f"\n\n**{item['text']}.** {item['do']}." for item in manifest.get("unpromotable", ()))
    create_table_artifact(rows, key="dataset", description=f"data set {manifest['fingerprint'][:12]}{warnings}")


def metrics_table(report: dict[str, Any]) -> None:
    """One line a task and metric, a column a model."""
    models = report["models"]
    rows = [
        {"task": task, "metric": metric, **{model: _shown(report[model][task].get(metric)) for model in models}}
        for task in report["examples"]
        for metric in report[models[-1]][task]
    ]
    create_table_artifact(rows, key="metrics", description="means over the held-out examples")


def champion_table(found: dict[str, Any]) -> None:
    """The champion's scores now beside those of its release."""
    rows = [
        {"task": task, "metric": metric, "now": _shown(value), "at its release": _shown(_before(found, task, metric))}
        for task, metrics in found["now"].items()
        for metric, value in metrics.items()
    ]
    create_table_artifact(rows, key="champion", description=f"{found['model']} v{found['version']} on today's data")


def _before(found: dict[str, Any], task: str, metric: str) -> float | None:
    value: float | None = found["then"].get(task, {}).get(metric)
    return value


def report_page(report: dict[str, Any], decision: dict[str, Any]) -> None:
    """The evaluation report with the decision on top."""
    create_markdown_artifact(
        judge.report_markdown(report, decision), key="report", description="evaluation and decision"
    )


def links(registered: dict[str, Any], dataset: dict[str, Any]) -> None:
    """The report's page, the MLflow version if there is a server with pages, and where everything is kept."""
    name = f"{registered['model']} v{registered['version']}"
    if registered.get("report_url"):
        text = f"report of {name}"
        create_link_artifact(registered["report_url"], key="report-page", link_text=text, description=text)
    if registered.get("url"):
        create_link_artifact(registered["url"], key="mlflow-version", link_text=name, description=f"{name} in MLflow")
    create_markdown_artifact(_places(registered, dataset), key="places", description=f"where {name} is kept")


def _places(registered: dict[str, Any], dataset: dict[str, Any]) -> str:
    """MLflow's pages as links; objects of the store by the address that its clients take."""
    name = f"{registered['model']} v{registered['version']}"
    pages = {"MLflow": (name, registered.get("url")), "report": ("report.html", registered.get("report_url"))}
    store = str(load_settings().store).rstrip("/")
    lines = [f"- {what}: [{text}]({url})" for what, (text, url) in pages.items() if url]
    lines += [f"- release: `{store}/{registered['release']}`"]
    lines += [f"- data set: `{store}/datasets/{dataset['fingerprint']}`"]
    return "\n".join([*lines, "", f"`mtl pull v{registered['version']} DEST` fetches the release, verified."])


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
