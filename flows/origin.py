"""Where a run comes from: who started it, and its page in Prefect. Kept with the MLflow run that it makes."""

from __future__ import annotations

from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectException
from prefect.runtime import deployment, flow_run

from mtl.pipeline.pages import PREFECT_RUN, PREFECT_RUN_URL, joined, run_note
from mtl.settings import load_settings, prefect_settings
from mtl.tracking.base import NOTE

_STARTED_BY = {"data": "check-data/look-for-new-data: the data changed", "webhook": "the webhook receiver"}
"""Beginning of an idempotency key -> who uses it."""


def tags() -> dict[str, str]:
    """Tags of the MLflow run: the Prefect run with its page, who started it, and a description that links both."""
    name, url = flow_run.get_name(), flow_run.get_flow_run_ui_url()
    source = f"{flow_run.get_flow_name()}/{deployment.get_name()}" if deployment.get_id() else "mtl retrain"
    found = {
        "mlflow.user": _starter(source),
        "mlflow.source.type": "JOB",
        "mlflow.source.name": source,
        PREFECT_RUN: name or "",
    }
    if url and not prefect_settings().embedded:  # an embedded server has no pages
        found[PREFECT_RUN_URL] = url
    return found | {NOTE: joined("", run_note(found))}


def _starter(source: str) -> str:
    """The person at the command line; of a run of a deployment its schedule, or whoever Prefect knows."""
    own = flow_run.get_id()
    if not deployment.get_id() or own is None:
        return load_settings().actor
    try:
        with get_client(sync_client=True) as client:
            return starter(client.read_flow_run(UUID(own)), source)
    except (PrefectException, httpx.HTTPError, OSError):  # who it was is no reason to stop a training
        return f"a run of {source}"


def starter(run: FlowRun, deployment_name: str) -> str:
    """Who started a run of a deployment. Prefect's own server has one login, and keeps no names of people."""
    made_by = run.created_by
    kind = str(made_by.type or "").lower() if made_by else ""
    if run.auto_scheduled or kind == "schedule":
        return f"schedule of {deployment_name}"
    if made_by and made_by.display_value:
        return f"{kind} {made_by.display_value}" if kind != "user" else made_by.display_value
    beginning = (run.idempotency_key or "").partition("-")[0]
    return _STARTED_BY.get(beginning, f"a person in Prefect ({deployment_name})")
