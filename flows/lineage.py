"""Lineage: a retrain's OpenLineage events, START, COMPLETE and FAIL; nothing where OpenLineage is not configured.

A run that goes on, after a restart or an approval, is RUNNING: it has started once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run as runtime

from flows.events import configuration_of
from mtl.config.retrain import RetrainConfig
from mtl.errors import MtlError
from mtl.pipeline.records import RegisteredVersion, RetrainSummary
from mtl.redact import clean
from mtl.service import lineage
from mtl.service.lineage import RunName
from mtl.settings import load_settings, prefect_settings
from mtl.workspace import open_workspace

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, RunEvent

_LONGEST = 2000


def started(config: RetrainConfig) -> None:
    """The run begins, or goes on; its inputs as the configuration names them."""

    def event() -> RunEvent:
        from mtl.service import lineage_events as events

        inputs = [events.source(task=its.task, uri=its.uri, version=its.revision) for its in config.data.sources]
        inputs.append(events.base(name=config.model.base, version=config.model.revision))
        state = "START" if (runtime.run_count or 1) <= 1 else "RUNNING"
        return events.run_event(state, _name(config.name), prefect=_prefect(), inputs=inputs)

    _send(event)


def completed(config: RetrainConfig, summary: RetrainSummary, registered: RegisteredVersion | None) -> None:
    """The run made a version, or found that there is one: with what was read, by its content."""

    def event() -> RunEvent:
        from mtl.service import lineage_events as events

        made, model = summary.outcome, config.register_.model
        values = {
            "run": summary.trained.identity,
            "dataset": summary.dataset.fingerprint,
            "adapter_sha256": summary.trained.adapter_sha256,
            "decision": made.decision.state.value,
            "champion": made.champion,
            "unchanged": summary.unchanged,
        }
        store = load_settings().store
        return events.run_event(
            "COMPLETE",
            _name(config.name),
            prefect=_prefect(),
            mlflow=_mlflow(config, summary, registered),
            inputs=[*_read(summary), events.base(name=config.model.base, version=config.model.revision)],
            outputs=[events.release(store=store, model=model, version=made.version, values=values)],
        )

    _send(event)


def failed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook for on_failure and on_crashed."""

    def event() -> RunEvent:
        from mtl.service import lineage_events as events

        error = state.result(raise_on_failure=False) if state.is_failed() else None
        text = str(error) if isinstance(error, Exception) else state.message or str(state.name)
        prefect = {"flowRunId": str(flow_run.id), "flowRunName": flow_run.name, "url": None}
        name = RunName(str(flow_run.id), lineage.namespace(), _job(_configuration(flow_run)))
        return events.run_event("FAIL", name, prefect=prefect, error=clean(text)[:_LONGEST])

    lineage.send(str(flow_run.id), event)


def _send(event: Callable[[], RunEvent]) -> None:
    lineage.send(str(runtime.get_id()), event)


def _name(configuration: str) -> RunName:
    return RunName(str(runtime.get_id()), lineage.namespace(), _job(configuration))


def _job(configuration: str) -> str:
    return f"retrain.{configuration}"


def _prefect() -> dict[str, str | None]:
    url = None if prefect_settings().embedded else runtime.get_flow_run_ui_url()  # an embedded server has no pages
    return {"flowRunId": str(runtime.get_id()), "flowRunName": runtime.get_name(), "url": url}


def _mlflow(
    config: RetrainConfig, summary: RetrainSummary, registered: RegisteredVersion | None
) -> dict[str, str | None] | None:
    """The run in MLflow: of the version that was made, or of the one that was found."""
    if registered is not None:
        return {"runId": registered.run_id, "url": registered.url}
    with suppress(MtlError):
        tracker = open_workspace().tracker
        found = tracker.find_run(summary.trained.identity, experiment=config.register_.experiment)
        return {"runId": found, "url": None} if found else None
    return None


def _read(summary: RetrainSummary) -> list[InputDataset]:
    from mtl.service import lineage_events as events

    return [
        events.source(task=its["task"], uri=its["uri"], version=its["sha256"], rows=sum(its.get("rows", {}).values()))
        for its in summary.dataset.manifest.sources
    ]


def _configuration(run: FlowRun) -> str:
    """Name of the configuration of a run."""
    given = configuration_of(run)
    name = given.get("name") if isinstance(given, dict) else getattr(given, "name", None)
    return str(name or RetrainConfig.model_fields["name"].default)
