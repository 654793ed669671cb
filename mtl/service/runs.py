"""Runs of flows: the last ones, the next ones and how many wait, as a Prefect server says, or said before it ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl.document import check_record, parse_json
from mtl.fingerprint import canonical_json
from mtl.redact import clean
from mtl.service.deployments import missing_parts, on_this_machine, planned_runs, without_next_run
from mtl.settings import PrefectSettings
from mtl.store.files import written_aside

if TYPE_CHECKING:
    from mtl.service.prefect_api import PrefectApi

Document = dict[str, Any]
_LAST = 10
_OF_EACH = 2
_KEPT = "runs.json"
_QUEUED = ("RUNNING", "PENDING", "PAUSED")
QUEUED = "AwaitingConcurrencySlot"
"""Name of the state of a run that waits for another one of its deployment."""
WAITING = "waiting-progress"
"""Key of the artifact that says which run a run waits for."""


@dataclass(slots=True)
class Runs:
    """last: newest first. next: of each deployment with a schedule, soonest first. queue: state -> runs in it.
    pools: who works. schedules: deployments that have an active one. faults: deployments that cannot run, and why."""

    last: list[Document] = field(default_factory=list)
    next: list[Document] = field(default_factory=list)
    queue: dict[str, int] = field(default_factory=dict)
    pools: list[Document] = field(default_factory=list)
    schedules: int = 0
    faults: list[str] = field(default_factory=list)


def served_runs(api: PrefectApi) -> Runs:
    """As the server says. Errors: those of PrefectApi."""
    flows = api.flows()
    found = api.deployments(flows)
    deployments = {item["id"]: item["label"] for item in found}
    scheduled = [item["id"] for item in found if any(schedule["active"] for schedule in item["schedules"])]
    moment = datetime.now(UTC)
    now = moment.isoformat()
    queue = {kind.lower(): _count(api, {"type": {"any_": [kind]}}) for kind in _QUEUED}
    queue["late"] = _count(api, {"name": {"any_": ["Late"]}})
    made = _next(api, {its: deployments[its] for its in scheduled}, now)
    known = {item["deployment"] for item in made}
    computed = [
        {"deployment": item["label"], "at": at}
        for item in found
        if item["label"] not in known
        for at in sorted(planned_runs(item, moment))[:1]
    ]
    return Runs(
        last=[_run(run, deployments, flows) | {"progress": _progress(api, run)} for run in _last(api, now)],
        next=sorted([*made, *computed], key=lambda item: datetime.fromisoformat(item["at"])),
        faults=_faults(api.url, found, known),
        schedules=len(scheduled),
        queue=queue,
        pools=[_pool(api, pool) for pool in api.post("/work_pools/filter", {})],
    )


def _faults(url: str, deployments: list[Document], coming: set[str]) -> list[str]:
    missing = missing_parts(deployments) if on_this_machine(url) else []
    late = without_next_run(deployments, coming)
    return [
        *(f"{name} cannot run: {what}; mtl deploy in the project's folder corrects it" for name, what in missing),
        *(f"{name} has an active schedule but no next run: mtl deploy --cron ... sets another" for name in late),
    ]


def _last(api: PrefectApi, now: str) -> list[Document]:
    """Retrains, and of each other deployment the newest few, or a poll every five minutes would be all there is to see.

    Runs that wait for a worker or for a slot are among them.
    """
    due = {"sort": "EXPECTED_START_TIME_DESC", "flow_runs": {"expected_start_time": {"before_": now}}}
    retrains = api.post("/flow_runs/filter", {**due, "limit": _LAST // 2, "flows": {"name": {"any_": ["retrain"]}}})
    found, seen = {run["id"]: run for run in retrains}, Counter[str]()
    for run in api.post("/flow_runs/filter", {**due, "limit": 100}):
        its = str(run["deployment_id"] or run["flow_id"])
        seen[its] += 1
        if seen[its] <= _OF_EACH and len(found) < _LAST:
            found[run["id"]] = run
    return sorted(found.values(), key=lambda run: str(run["expected_start_time"]), reverse=True)


def _next(api: PrefectApi, scheduled: dict[str, str], now: str) -> list[Document]:
    """One by one: among the next runs of all, those of a poll hide those of the night."""
    found = []
    for deployment, name in scheduled.items():
        waiting = {
            "deployment_id": {"any_": [deployment]},
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"after_": now},
        }
        body = {"sort": "NEXT_SCHEDULED_START_TIME_ASC", "limit": 1, "flow_runs": waiting}
        found += [
            {"deployment": name, "at": run["next_scheduled_start_time"]} for run in api.post("/flow_runs/filter", body)
        ]
    return [item for item in found if item["at"]]


def _progress(api: PrefectApi, run: Document) -> str | None:
    """What a run that is under way or queued told last: "train 20/60, 19s left", "waits for ..."; None for others."""
    if run["state_name"] not in ("Running", QUEUED):
        return None
    artifacts = {"flow_run_id": {"any_": [run["id"]]}, "type": {"any_": ["progress"]}}
    found = api.post("/artifacts/filter", {"sort": "UPDATED_DESC", "limit": 1, "artifacts": artifacts})
    if not found:
        return None
    if found[0]["key"] == WAITING and float(found[0]["data"]) < 100:
        return clean(str(found[0]["description"]))
    stage = found[0]["key"].removesuffix("-progress")
    return clean(f"{stage} {float(found[0]['data']):.0f}% {found[0]['description'] or ''}".strip())


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


@dataclass(frozen=True)
class _KeptRun:
    """One run of an embedded Prefect. seconds: None for one that has not ended, or whose command was killed."""

    id: str
    name: str
    flow: str
    state: str
    started: str
    seconds: float | None
    message: str | None


@dataclass(frozen=True)
class _KeptRuns:
    runs: list[_KeptRun]


def keep_runs(settings: PrefectSettings) -> None:
    """Have `embedded_runs` find the last runs of a server that is gone with its command. Called while it answers.

    Errors: those of PrefectApi and of writing.
    """
    from mtl.service.prefect_api import PrefectApi

    started = {"start_time": {"is_null_": False}}
    with PrefectApi(settings) as api:
        flows = api.flows()
        found = api.post("/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": _LAST, "flow_runs": started})
    runs = [_run(run, {}, flows) | ({} if run["end_time"] else {"seconds": None}) for run in found]
    with written_aside(settings.home / _KEPT) as file:
        file.write(canonical_json({"runs": runs}))


def embedded_runs(home: Path) -> Runs:
    """Of the embedded Prefect whose state is in `home`: as its server said last. Errors: DamageError."""
    file = home / _KEPT
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return Runs()
    hint = "remove it: the next command writes it anew"
    kept = check_record(_KeptRuns, parse_json(data, str(file), hint=hint), str(file), hint=hint)
    return Runs(last=[asdict(run) | {"progress": None} for run in kept.runs])
