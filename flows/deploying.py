"""Deploy: everything a Prefect server must know, made or mended; doing it again changes nothing.

The deployments are in prefect.yaml beside this file, so that plain `prefect deploy` takes them too.
"""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate, GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.server.schemas.schedules import CronSchedule
from prefect.variables import Variable
from pydantic import ValidationError

from flows import deployed
from flows.clock_changes import skipped_time
from flows.forms import described, offer, tidy
from flows.renaming import carry_over, paused_kept
from flows.retrying import MAX_RUNS, VARIABLE
from mtl.errors import InputError, TransientError
from mtl.settings import child_environment, device_limit

POOL = "mtl"
DEAD_AFTER = timedelta(seconds=90)
"""Three heartbeats of the stack's worker."""
_CRASHES = 5
_CRASHES_WITHIN = timedelta(minutes=10)
_CRON_FIELDS = 5
_RERUN_AFTER = timedelta(seconds=15)  # a worker says "crashed" a second time, and would undo what came before
_ENDS = ("Completed", "Failed", "Cancelled", "Crashed")
_WAITS = ("Suspended", "Paused", "AwaitingRetry", "Late", "Scheduled")


def deploy(folder: Path, *, config: str | None, cron: str | None, timezone: str | None) -> dict[str, Any]:
    """Register pool, limits, variables, deployments and automations; their names, and what changed.

    folder: the project, in which runs work. config: of nightly, weekly-full and the polls. What is None stays as it
    was deployed last. Errors: InputError for a schedule that does not parse or never comes, ConfigError for the
    configuration.
    """
    from flows.presets import presets
    from flows.short import configurations

    _refuse_placeholders(folder, Path(sys.executable))
    with get_client(sync_client=True) as client:
        before = deployed.snapshot(client)
        chosen = deployed.choices(before, config=config, cron=cron, timezone=timezone)
        presets("demo", chosen.config)
        coming = next_runs(chosen.cron, chosen.timezone)
        skipped = skipped_time(chosen.cron, chosen.timezone, now=datetime.now(UTC))
        _make_pool(client)
        _make_limit(client, device_limit())
        Variable.set(VARIABLE, MAX_RUNS) if Variable.get(VARIABLE) is None else None
        with paused_kept(client):
            _make_deployments(folder, chosen)
        renamed = carry_over(client)
        deployed.keep(chosen)
        _tidy_forms(client, configurations(folder, chosen.config))
        made = [_keep_automation(wanted) for wanted in (_crash_dead_runs(), _rerun_crashed(), _stop_crash_loops())]
        names = sorted(f"{_flow_name(client, item.flow_id)}/{item.name}" for item in client.read_deployments(limit=200))
        after = deployed.snapshot(client)
    return {
        "pool": POOL,
        "limit": device_limit(),
        "automations": made,
        "deployments": names,
        "nightly": {
            **asdict(chosen),
            "next": [moment.isoformat(timespec="minutes") for moment in coming],
            "skipped": None if skipped is None else skipped.isoformat(timespec="minutes"),
        },
        "first": not before,
        "renamed": renamed,
        "changes": deployed.changes(deployed.under_new_names(before, renamed), after),
    }


def next_runs(cron: str, timezone: str, *, count: int = 2) -> Sequence[datetime]:
    """The next times of a schedule, in its own time zone.

    Errors: InputError for a cron expression that does not parse, that has seconds, or whose time never comes.
    """
    try:
        if not cron.startswith("@") and len(cron.split()) != _CRON_FIELDS:
            raise ValueError(f"{len(cron.split())} fields where five are expected: minute hour day month weekday")
        coming = asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(count))
    except ValidationError as error:
        reason = "; ".join(str(item["msg"]) for item in error.errors())
    except ValueError as error:  # also of a time that never comes, such as 31 February
        reason = str(error)
    else:
        return coming
    raise InputError(
        f"no schedule: cron {cron!r}, timezone {timezone!r}: {reason}",
        field="cron",
        hint='for example, --cron "0 3 * * *" --timezone Europe/Berlin runs every night at three',
    )


def _refuse_placeholders(*paths: Path) -> None:
    """Errors: InputError for a path that a worker would fill in instead of using it."""
    for path in paths:
        if "{{" in str(path):
            raise InputError(
                f"Prefect would take a part of the path {path} for a placeholder",
                field="folder",
                hint="move the project, or its environment, to a folder without {{ in its path",
            )


def _make_pool(client: SyncPrefectClient) -> None:
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", description="retrains on this machine"))


def _make_limit(client: SyncPrefectClient, name: str) -> None:
    """One training on a device. A limit that is there stays as it is, with the slots that are held."""
    try:
        client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))


def _make_deployments(folder: Path, chosen: deployed.Choices) -> None:
    file = Path(__file__).with_name("prefect.yaml")
    values = {
        "MTL_DEPLOY_FOLDER": str(folder),
        "MTL_DEPLOY_PYTHON": shlex.quote(sys.executable),
        "MTL_DEPLOY_CONFIG": chosen.config,
        "MTL_DEPLOY_CRON": chosen.cron,
        "MTL_DEPLOY_TIMEZONE": chosen.timezone,
    }
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    done = subprocess.run(
        command, env=child_environment(values), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or "Skipping" in done.stdout:
        raise TransientError(
            f"prefect deploy failed with exit code {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}",
            hint="run mtl doctor to check the server, then run mtl deploy again",
        )


def _tidy_forms(client: SyncPrefectClient, configurations: list[str]) -> None:
    """Prefect takes parameters that the flow does not have, and the run crashes on them; the schema can say no."""
    for item in client.read_deployments(limit=200):
        schema = item.parameter_openapi_schema
        if schema is not None and "mtl" in item.tags:
            made = described(tidy(dict(schema)), item.entrypoint or "")
            made = offer(made, "configuration", configurations)
            client.update_deployment(item.id, DeploymentUpdate(parameter_openapi_schema=made))


def _crash_dead_runs() -> Automation:
    """A run whose heartbeats stop without an end was killed with its machine, and nobody else says so."""
    after = {"prefect.flow-run.heartbeat"}
    return Automation(
        name="mtl: dead runs are crashed",
        description="A run that sends no heartbeat any more was killed: mark it so.",
        trigger=EventTrigger(
            after=after,
            expect=after | {f"prefect.flow-run.{name}" for name in (*_ENDS, *_WAITS)},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=DEAD_AFTER,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="no heartbeat: its process is gone")],
    )


def _rerun_crashed() -> Automation:
    """The same flow run again: equal parameters are the same identity, and it goes on from its checkpoint."""
    return Automation(
        name="mtl: crashed runs run again",
        description="A run with tag `rerun` that crashed is scheduled again; it resumes from its checkpoint.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Crashed"},
            expect={f"prefect.flow-run.{name}" for name in ("Running", "Pending", "Cancelled", "Failed", *_WAITS)},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.role": "tag",
                "prefect.resource.id": "prefect.tag.rerun",
            },
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=_RERUN_AFTER,
        ),
        actions=[ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message="crashed; runs again")],
    )


def _stop_crash_loops() -> Automation:
    """A run whose folder or interpreter is gone crashes before the flow itself can count how often it was started."""
    return Automation(
        name="mtl: runs that cannot start are stopped",
        description=f"A run that crashed {_CRASHES} times in a row within {_CRASHES_WITHIN} is failed, not run again.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Crashed"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=_CRASHES,
            within=_CRASHES_WITHIN,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.FAILED,
                message=f"crashed {_CRASHES} times within {_CRASHES_WITHIN}: mtl doctor checks the folder and the "
                "interpreter of its deployment; Retry in the UI runs it again",
            )
        ],
    )


def _keep_automation(wanted: Automation) -> str:
    """Made, or made equal to what is wanted; whether it is switched on stays as it is."""
    try:
        there = Automation.read(name=wanted.name)
    except ValueError:
        wanted.create()
        return wanted.name
    assert isinstance(there, Automation), "called from synchronous code"
    there.trigger, there.actions, there.description = wanted.trigger, wanted.actions, wanted.description
    there.update()
    return wanted.name


def _flow_name(client: SyncPrefectClient, flow: Any) -> str:
    return client.read_flow(flow).name
