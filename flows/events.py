"""Events: what a person or another system would want to hear. Each is a Prefect event `mtl.…`, and a notification.

    mtl.champion.changed   whoever changed it: gate, person, alias in MLflow, `mtl promote`
    mtl.candidate.waiting  the gate let it through, and a person is asked
    mtl.candidate.refused  the gate or a person said no
    mtl.data.alarm         data that were refused, or the champion got worse on fresh data
    mtl.data.drifted       new rows or logged requests differ from the champion's training data; also a data alarm
    mtl.run.failed         a run of a flow failed or crashed

A mark in the object store keeps an event from being told again, whoever comes upon it: two that do at once send Prefect
the same id, which it keeps once, and one of the two notifies.
"""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event
from prefect.settings import get_current_settings

from mtl import layout
from mtl.config.register import RegisterConfig
from mtl.config.retrain import load_config
from mtl.decision import Decision
from mtl.errors import DataError, MtlError
from mtl.evaluation.drift.records import DriftReport
from mtl.pipeline.records import RegisteredVersion
from mtl.redact import clean
from mtl.release.journal import read_journal
from mtl.service.notify import Notice, notify
from mtl.settings import load_settings
from mtl.settings.service import notify_settings
from mtl.store.base import ObjectStore
from mtl.store.open import open_store
from mtl.workspace import open_workspace

_log = logging.getLogger(__name__)
_SPACE = uuid.UUID("6d2b7f0e-3c41-5f0a-9a55-0f4f6f2f7a11")
_LONGEST = 2000
PATIENCE = 5.0
"""Seconds for the object store to answer; events do not hold up a retrain."""
REGRESSED = "Regressed"
"""Name of the failed state of a run that told of a data alarm itself."""


def tell(
    event: str, *, model: str, key: str, title: str, text: str, payload: dict[str, Any], url: str | None = None
) -> bool:
    """Tell of an event once. key: what makes it this event and no other. False: it was told before.

    Never raises: an event is news of a retrain, not a part of it.
    """
    try:
        return _tell(event, model, key, title, text, payload, url)
    except Exception as error:  # whatever is wrong with the news, the retrain goes on
        _log.warning("the event %s could not be told: %s: %s", event, type(error).__name__, clean(str(error))[:300])
        return False


def _tell(event: str, model: str, key: str, title: str, text: str, payload: dict[str, Any], url: str | None) -> bool:
    identity = uuid.uuid5(_SPACE, f"{event} {model} {key}")
    if _was_told(model, event, identity.hex):
        return False
    emit_event(
        f"mtl.{event}",
        resource={"prefect.resource.id": f"mtl.model.{model}", "prefect.resource.name": model},
        payload={"title": clean(title), "text": clean(text)[:_LONGEST], **payload},
        id=identity,
    )
    if not _first_to_tell(model, event, identity.hex):
        return False
    took = notify(Notice(event, model, title, text, url, payload, identity.hex), notify_settings())
    if took:
        _log.info("told of %s by %s", event, ", ".join(took))
    return True


def _was_told(model: str, event: str, key: str) -> bool:
    """Whether an event was marked as told. Where the store does not answer, nobody knows: False."""
    with suppress(MtlError):
        return _marks().head(_mark(model, event, key)) is not None
    return False


def _first_to_tell(model: str, event: str, key: str) -> bool:
    """Mark an event as told; False if it was marked before.

    If the store is unreachable, send anyway: a duplicate is better than a missed notification.
    """
    with suppress(MtlError):
        return _marks().put_if_absent(_mark(model, event, key), b"told")
    return True


def _mark(model: str, event: str, key: str) -> str:
    return layout.mark_key(model, event, key)


def _marks() -> ObjectStore:
    return open_store(load_settings().store, patience=PATIENCE)


def champion_changed(model: str) -> None:
    """Tell of the newest entry of the journal, if nobody did."""
    try:
        journal = read_journal(open_workspace().store, model)
    except MtlError as error:
        _log.warning("the journal of %s cannot be read: %s", model, error.message)
        return
    if journal.head is None:
        return
    change = journal.head
    if change.replaced == change.version:  # it vouches for the journal, and changed nothing
        return
    before = f"v{change.replaced}" if change.replaced is not None else "nothing"
    how = f"{change.kind} by force" if change.forced else change.kind
    tell(
        "champion.changed",
        model=model,
        key=str(journal.seq),
        title=f"{model}: champion is v{change.version} ({how}, instead of {before})",
        text=f"by {change.actor}: {change.reason}",
        payload=change.to_dict(),
    )


def candidate_waiting(registered: RegisteredVersion, decision: Decision, *, form: str | None) -> None:
    """Tell that a version waits for a person, and where to answer. form: address of the run that asks."""
    _tell_decision("candidate.waiting", registered, decision, url=form or registered.report_url)


def candidate_refused(registered: RegisteredVersion, decision: Decision) -> None:
    """Tell that a version was not promoted, by whom and why."""
    _tell_decision("candidate.refused", registered, decision, url=registered.report_url)


def _tell_decision(event: str, registered: RegisteredVersion, decision: Decision, *, url: str | None) -> None:
    reasons = list(decision.reasons)
    tell(
        event,
        model=registered.model,
        key=f"v{registered.version} {reasons}",
        title=f"{registered.model}: v{registered.version} {decision.predicate}",
        text="\n".join(f"- {reason}" for reason in reasons),
        payload={
            "version": registered.version,
            "decision": decision.state.value,
            "by": decision.by,
            "reasons": reasons,
            "against": decision.against,
        },
        url=url,
    )


def data_alarm(model: str, text: str, *, key: str, payload: dict[str, Any] | None = None) -> None:
    """Tell that data were refused, or that the champion does worse on fresh ones."""
    title = f"{model}: {text.splitlines()[0] if text else 'data'}"
    tell("data.alarm", model=model, key=key, title=title, text=text, payload=payload or {})


def data_drifted(report: DriftReport) -> None:
    """Tell of each drift that was found, once however often it is found. Nothing of any text is told."""
    for alarm in report.alarms:
        payload = {
            "version": report.version,
            "what": alarm.what,
            "task": alarm.task,
            "page": report.page,
            "since": report.since,
            "dataset": report.dataset,
        }
        resource = {"prefect.resource.id": f"mtl.model.{report.model}", "prefect.resource.name": report.model}
        identity = uuid.uuid5(_SPACE, f"data.drifted {report.model} {alarm.key}")
        emit_event("mtl.data.drifted", resource=resource, payload={"text": alarm.text, **payload}, id=identity)
        data_alarm(report.model, alarm.text, key=f"drift {alarm.key}", payload=payload)


def run_ended_badly(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Hook for on_failure and on_crashed: tell of the run; of refused data as a data alarm."""
    if state.name == REGRESSED:
        return
    error = state.result(raise_on_failure=False) if state.is_failed() else None
    name = state.name or state.type.value
    text = str(error) if isinstance(error, Exception) else state.message or name
    model = _model_of(flow_run)
    link = f"{get_current_settings().server.ui.api_url or ''}".removesuffix("/api")
    if isinstance(error, DataError):
        data_alarm(model, text, key=str(flow_run.id), payload={"flow_run": flow_run.name})
        return
    tell(
        "run.failed",
        model=model,
        key=f"{flow_run.id} {flow_run.run_count}",
        title=f"{flow.name} run {flow_run.name} {name.lower()}",
        text=text[:_LONGEST],
        payload={"flow": flow.name, "flow_run": flow_run.name, "flow_run_id": str(flow_run.id), "state": name},
        url=f"{link}/runs/flow-run/{flow_run.id}" if link else None,
    )


def configuration_of(run: FlowRun) -> Any:
    """The configuration of a run: a RetrainConfig, or the plain values that a crash leaves of it; None for none."""
    if isinstance(named := run.parameters.get("configuration"), str):
        with suppress(MtlError):
            return load_config(Path(named))
    return run.parameters.get("config")


def _model_of(run: FlowRun) -> str:
    """The model that a run is about: from its configuration, or its parameter `model`."""
    config = configuration_of(run)
    section = config.get("register") if isinstance(config, dict) else getattr(config, "register_", None)
    name = section.get("model") if isinstance(section, dict) else getattr(section, "model", None)
    given = run.parameters.get("model")
    return str(name or (given if isinstance(given, str) else None) or RegisterConfig().model)
