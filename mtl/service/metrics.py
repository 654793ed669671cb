"""metrics_text: what Prometheus scrapes, made from `mtl status` at the moment it is asked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from mtl.service.status import status
from mtl.settings import PrefectSettings, Settings

Document = dict[str, Any]


def metrics_text(settings: Settings, prefect: PrefectSettings, model: str) -> str:
    """Gauges in Prometheus' text format. What could not be asked is absent, and `mtl_up` says so."""
    found = status(settings, prefect, model)
    registry = CollectorRegistry()
    _service_gauges(registry, found)
    _champion_gauges(registry, found)
    _run_gauges(registry, found)
    return generate_latest(registry).decode()


def _service_gauges(registry: CollectorRegistry, found: Document) -> None:
    up = Gauge("mtl_up", "1 if the service answers", ["service"], registry=registry)
    for name, state in found["services"].items():
        up.labels(name).set(state == "ok")
    free = Gauge("mtl_disk_free_bytes", "free space where state is kept", registry=registry)
    free.set(found["disk"]["free"])
    Gauge("mtl_warnings", "lines of mtl status that need somebody", registry=registry).set(len(found["warnings"]))
    waiting = Gauge("mtl_metrics_waiting_bytes", "metrics that MLflow has not taken yet", registry=registry)
    waiting.set(found["disk"]["metrics_waiting"])


def _champion_gauges(registry: CollectorRegistry, found: Document) -> None:
    champion = found["champion"]
    if not champion or champion["version"] is None:
        return
    labels = ["model"]
    version = Gauge("mtl_champion_version", "version that is champion", labels, registry=registry)
    version.labels(found["model"]).set(champion["version"])
    since = Gauge("mtl_champion_since_seconds", "when it became so, in Unix time", labels, registry=registry)
    since.labels(found["model"]).set(datetime.fromisoformat(champion["since"]).timestamp())
    changes = Gauge("mtl_champion_changes", "entries of the journal", labels, registry=registry)
    changes.labels(found["model"]).set(champion["changes"])


def _run_gauges(registry: CollectorRegistry, found: Document) -> None:
    if found["runs"] is None:
        return
    queue = Gauge("mtl_runs", "runs by state", ["state"], registry=registry)
    for state, count in (found["queue"] or {}).items():
        queue.labels(state).set(count)
    workers = Gauge("mtl_workers_online", "workers of a pool", ["pool"], registry=registry)
    for pool in found["pools"] or []:
        workers.labels(pool["name"]).set(pool["workers"])
    seconds = Gauge("mtl_last_run_seconds", "how long the newest run of a flow took", ["flow"], registry=registry)
    good = Gauge("mtl_last_run_completed", "1 if the newest run of a flow completed", ["flow"], registry=registry)
    newest = {run["flow"]: run for run in reversed(found["runs"])}
    for flow, run in newest.items():
        seconds.labels(flow).set(run["seconds"] or 0.0)
        good.labels(flow).set(run["state"] == "Completed")
