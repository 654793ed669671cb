"""Train: in a process of its own, followed by its events, and recorded as one MLflow run while it goes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from threading import Thread
from typing import Any

from mtl import layout, progress
from mtl.config.retrain import RetrainConfig
from mtl.errors import FencedError
from mtl.pipeline.records import FULL, Start
from mtl.store.files import disk_errors
from mtl.tracking.base import Tracker
from mtl.tracking.recorder import Recorder
from mtl.training.launch import launch_training
from mtl.training.result import TrainedModel
from mtl.workspace import Workspace

_log = logging.getLogger(__name__)


def train(
    workspace: Workspace,
    config: RetrainConfig,
    dataset: str,
    *,
    start: Start = FULL,
    resume: str | None = None,
    origin: Mapping[str, str] | None = None,
) -> TrainedModel:
    """Train on a prepared data set, resume, or find the run finished.

    dataset: fingerprint. start: what it starts from (`choose_start`). origin: tags of the MLflow run that say who
    started it and where.
    resume: identity of a run that must be the one gone on from. Errors: MismatchError, naming the fields, if it cannot.
    """
    opening = Thread(target=lambda: workspace.tracker)
    opening.start()  # MLflow takes seconds to import; the trainer starts meanwhile

    @cache
    def recorder() -> Recorder:
        opening.join()
        return _recorder(workspace, config)

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "start":
            recorder().check()
            lineage = lineage_tags(bit_exact=event["bit_exact"], continued_from=event["continued_from"])
            recorder().start(event["identity"], tags={**lineage, **start_tags(start), **(origin or {})})
        elif event["event"] == "step":
            recorder().step(event["step"], _metrics(event))
        elif event["event"] == "validation":
            losses = event["loss_by_task"]
            recorder().step(event["step"], {f"validation/loss/{task}": loss for task, loss in losses.items()})
        elif event["event"] == "done":
            recorder().start(event["identity"])  # found finished: what MLflow did not take then is sent now
        tell(event)

    try:
        result = launch_training(config, dataset, workspace.settings, on_event, resume=resume, parent=start.parent)
    except FencedError:  # the run is another's now, here and in MLflow
        raise
    except BaseException:
        recorder().close(status="KILLED")
        raise
    recorder().close(status="FINISHED")
    return result


def tell(event: Mapping[str, Any]) -> None:
    """An event of the trainer as progress, and as a line of the log."""
    if event["event"] == "start":
        progress.report("train", event["step"], event["max_steps"], _start_note(event))
    elif event["event"] == "step":
        progress.report("train", event["step"], event["max_steps"], _step_note(event))
    elif event["event"] == "validation":
        progress.report("validate", event["step"], event["max_steps"], _validation_note(event))
    elif event["event"] == "log":
        _log.log(event["level"], "%s", event["message"])


def lineage_tags(*, bit_exact: bool, continued_from: Mapping[str, Any] | None) -> dict[str, str]:
    """What a run's page must say of a run that is no longer bit-exact. continued_from: a Lineage as JSON."""
    if bit_exact or continued_from is None:
        return {}
    source, differing = continued_from["source"], ", ".join(continued_from["differing"])
    return {"bit_exact": "false", "continued_from": source, "differing": differing}


def start_tags(start: Start) -> dict[str, str]:
    """Tags of a run in MLflow; none for one whose configuration always starts from scratch."""
    if start == FULL:
        return {}
    tags = {"start": start.headline, "start_reason": start.reason}
    if start.parent is not None:
        parent = start.parent
        tags |= {"parent_version": str(parent.version), "parent_adapter_sha256": parent.adapter_sha256}
        tags |= {"parent_dataset": parent.dataset}
    return tags


def _recorder(workspace: Workspace, config: RetrainConfig) -> Recorder:
    """What is measured goes to MLflow, with the learning curve at the end; that picture stays here too."""
    settings = workspace.settings

    def log_curve(tracker: Tracker, run: str) -> None:
        from mtl.training.curve import draw_curve  # matplotlib

        path = layout.home_curve(settings.home, config.name)
        with disk_errors("write", path):
            draw_curve(tracker.history(run), path, title=f"{config.name}: learning curve")
        tracker.log_folder(run, path.parent, "curves")

    return Recorder(
        lambda: workspace.tracker,
        layout.home_metrics(settings.home),
        experiment=config.register_.experiment,
        params=config.model_dump(mode="json", by_alias=True),
        at_end=log_curve,
    )


def _start_note(event: Mapping[str, Any]) -> str:
    share = event["trainable"] / event["parameters"]
    resumed = f", resumed from step {event['resumed_from']}" if event["resumed_from"] else ""
    resumed += "" if event["bit_exact"] else ", NO LONGER BIT-EXACT"
    return (
        f"{event['trainable']:,} trainable parameters ({share:.1%}), {event['precision']} on {event['device']}{resumed}"
    )


def _step_note(event: Mapping[str, Any]) -> str:
    losses = "  ".join(f"{task} {loss:.3f}" for task, loss in event["loss_by_task"].items())
    return f"loss {losses}  {event['tokens_per_second']:,.0f} tok/s  {event['eta']:.0f}s left"


def _validation_note(event: Mapping[str, Any]) -> str:
    losses = "  ".join(f"{task} {loss:.3f}" for task, loss in event["loss_by_task"].items())
    return f"loss {losses}, " + ("the best so far" if event["best"] == event["step"] else f"best at {event['best']}")


def _metrics(event: Mapping[str, Any]) -> dict[str, float]:
    names = ("loss", "learning_rate", "grad_norm", "tokens_per_second")
    losses = {f"train/loss/{task}": loss for task, loss in event["loss_by_task"].items()}
    system = {f"system/{name}": value for name, value in event["system"].items()}
    return {f"train/{name}": event[name] for name in names} | losses | system
