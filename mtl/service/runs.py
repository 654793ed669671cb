"""Runs of flows: the last ones, the next ones and how many wait, from a Prefect server or the embedded database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtl.errors import PermanentError
from mtl.service.prefect_api import PrefectApi
from mtl.service.redact import clean

Document = dict[str, Any]
_LAST = 10
_QUEUED = ("RUNNING", "PENDING", "PAUSED")


@dataclass(slots=True)
class Runs:
    """last: newest first. next: soonest first. queue: state -> runs in it. pools: who works."""

    last: list[Document] = field(default_factory=list)
    next: list[Document] = field(default_factory=list)
    queue: dict[str, int] = field(default_factory=dict)
    pools: list[Document] = field(default_factory=list)


def served_runs(api: PrefectApi) -> Runs:
    """As the server says. Errors: those of PrefectApi."""
    flows = {flow["id"]: flow["name"] for flow in api.post("/flows/filter", {"limit": 200})}
    deployments = {
        item["id"]: f"{flows.get(item['flow_id'], '?')}/{item['name']}"
        for item in api.post("/deployments/filter", {"limit": 200})
    }
    now = datetime.now(UTC).isoformat()
    due = {"expected_start_time": {"before_": now}}  # those that wait for a worker or a slot, too
    last = api.post("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": _LAST, "flow_runs": due})
    waiting = {"state": {"type": {"any_": ["SCHEDULED"]}}, "expected_start_time": {"after_": now}}
    later = api.post(
        "/flow_runs/filter", {"sort": "NEXT_SCHEDULED_START_TIME_ASC", "limit": _LAST, "flow_runs": waiting}
    )
    queue = {kind.lower(): _count(api, {"type": {"any_": [kind]}}) for kind in _QUEUED}
    queue["late"] = _count(api, {"name": {"any_": ["Late"]}})
    return Runs(
        last=[_run(run, deployments, flows) for run in last],
        next=[
            {"deployment": deployments.get(run["deployment_id"]), "at": run["next_scheduled_start_time"]}
            for run in later
            if run["next_scheduled_start_time"]
        ],
        queue=queue,
        pools=[_pool(api, pool) for pool in api.post("/work_pools/filter", {})],
    )


def _count(api: PrefectApi, state: Document) -> int:
    return int(api.post("/flow_runs/count", {"flow_runs": {"state": state}}))


def _run(run: Document, deployments: Document, flows: Document) -> Document:
    state = run["state"] or {}
    return {
        "id": run["id"],
        "name": run["name"],
        "flow": deployments.get(run["deployment_id"]) or flows.get(run["flow_id"], "?"),
        "state": run["state_name"],
        "started": run["start_time"],
        "seconds": round(run["estimated_run_time"] or run["total_run_time"] or 0.0, 1),
        "message": clean(state["message"])[:500] if state.get("message") else None,
    }


def _pool(api: PrefectApi, pool: Document) -> Document:
    workers = api.post(f"/work_pools/{pool['name']}/workers/filter", {})
    online = sum(worker.get("status") == "ONLINE" for worker in workers)
    return {
        "name": pool["name"],
        "paused": pool["is_paused"],
        "workers": online,
        "limit": pool["concurrency_limit"],
    }


def embedded_runs(database: Path) -> Runs:
    """Of the embedded Prefect, whose server is gone with its command: read from its file. Errors: PermanentError."""
    if not database.exists():
        return Runs()
    query = (
        "select run.id, run.name, flow.name, run.state_name, run.start_time, run.end_time, run.total_run_time"
        " from flow_run run join flow on flow.id = run.flow_id"
        " where run.start_time is not null order by run.start_time desc limit ?"
    )
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=2)) as opened:
            rows = opened.execute(query, [_LAST]).fetchall()
    except sqlite3.DatabaseError as error:
        raise PermanentError(f"cannot read {database}: {error}", hint="mtl doctor says what may be done") from None
    names = ("id", "name", "flow", "state", "started")
    last = [dict(zip(names, row[:5], strict=True)) | {"seconds": _seconds(*row[4:]), "message": None} for row in rows]
    return Runs(last=last)


def _seconds(start: str, end: str | None, _total: object) -> float | None:
    """Between two of SQLite's texts; None for a run that has not ended, or whose command was killed."""
    if not end:
        return None
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 1)
