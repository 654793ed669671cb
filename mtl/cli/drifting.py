"""What `mtl drift` does, and how its result reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtl.cli.terminal import progress_bars
from mtl.config.retrain import load_config
from mtl.errors import NotFoundError
from mtl.layout import home_drift
from mtl.workspace import open_workspace

Document = dict[str, Any]


def drift(config: Path) -> Document:
    """The drift report of today's data set and the logged requests, with the page on this machine under `file`.

    Whether or not `watch.drift` is on. Errors: NotFoundError without a champion whose training data are there.
    """
    from mtl.pipeline.drift import check_drift
    from mtl.pipeline.monitor import champion_data
    from mtl.pipeline.prepare import prepare

    loaded, workspace = load_config(config), open_workspace()
    watching = loaded.model_copy(update={"watch": loaded.watch.model_copy(update={"drift": True})})
    if champion_data(workspace, loaded.register_.model) is None:
        raise _no_champion(loaded.register_.model)
    with progress_bars():
        dataset = prepare(workspace, watching).fingerprint
        found = check_drift(workspace, watching, dataset, now=datetime.now(UTC))
    model = loaded.register_.model
    if found is None:
        raise _no_champion(model)
    return found.to_json() | {"file": str(home_drift(workspace.settings.home, model)) if found.page else None}


def _no_champion(model: str) -> NotFoundError:
    return NotFoundError(
        f"{model} has no champion whose training data are in the store", hint="mtl retrain -c CONF makes one"
    )


def drift_text(found: Document) -> str:
    """A line for each task, the alarms, and where the page is."""
    if found["fault"]:
        unread = f"the requests are not compared, because the request log cannot be read: {found['fault']}"
        rest = found | {"fault": ""}
        return f"{unread}\n{drift_text(rest)}" if found["comparisons"] else unread
    if not found["comparisons"]:
        return (
            f"nothing to compare: no row is new since v{found['version']} was trained, and no request was logged; "
            "MTL_TRAFFIC_LOG switches the request log on"
        )
    alarms = {(alarm["what"], alarm["task"]) for alarm in found["alarms"]}
    lines = []
    for its in found["comparisons"]:
        for task in its["tasks"]:
            verdict = "DRIFT" if (its["what"], task["task"]) in alarms else "no drift"
            lines.append(f"{its['what']} of {task['task']}: {_measured(task, verdict)}")
    return "\n".join([*lines, f"page {found['file']}"])


def _measured(task: Document, verdict: str) -> str:
    sizes = f"{task['fresh']} texts against {task['reference']}"
    if task["domain"] is None:
        return f"too few texts to compare ({sizes})"
    return f"{verdict}, area under the ROC curve {task['domain']['auc']:.2f}, p {task['domain']['p']:.3f}, {sizes}"
