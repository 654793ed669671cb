"""What keeps a deployment from running: its folder or interpreter is gone, or its schedule never comes."""

from __future__ import annotations

import contextlib
import shlex
import shutil
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from mtl.settings import LOOPBACK

Document = dict[str, Any]
RENAMED = {
    "check-data/poll": "check-data/look-for-new-data",
    "evaluate-champion/weekly": "evaluate-champion/measure-champion",
    "promote/by-hand": "promote/promote-version",
    "prune/weekly": "prune/prune-checkpoints",
    "reconcile/poll": "reconcile/follow-aliases",
    "rollback/by-hand": "rollback/roll-back",
}
"""Names of an earlier release -> names of now: Prefect's pages show the part after the slash alone."""
_SCHEDULED_AFTER = timedelta(minutes=3)  # Prefect's scheduler looks at new schedules at least this often


def on_this_machine(url: str) -> bool:
    """Whether the workers of the Prefect server at `url` run here, so that paths of deployments can be looked at."""
    return urlsplit(url).hostname in LOOPBACK


def missing_parts(deployments: Iterable[Document]) -> list[tuple[str, str]]:
    """(deployment, what is wrong) for each whose runs could not start on this machine."""
    return [(item["label"], fault) for item in deployments for fault in _missing(item)]


def _missing(item: Document) -> list[str]:
    variables = item.get("job_variables") or {}
    folder, command = variables.get("working_dir"), variables.get("command")
    faults = []
    if folder and not Path(folder).is_dir():
        faults.append(f"its folder {folder} does not exist")
    if command and shutil.which(interpreter := shlex.split(command)[0]) is None:
        faults.append(f"its interpreter {interpreter} does not exist")
    return faults


def planned_runs(item: Document, now: datetime) -> list[str]:
    """When a deployment runs next by its cron schedules; Prefect makes the runs themselves a minute or more later."""
    found = []
    for schedule in item["schedules"]:
        cron = schedule.get("schedule", {}).get("cron")
        if schedule["active"] and cron and not item.get("paused"):
            zone = ZoneInfo(schedule["schedule"].get("timezone") or "UTC")
            with contextlib.suppress(CronSimError, StopIteration):  # such as @daily: Prefect makes its run soon
                found.append(next(CronSim(cron, now.astimezone(zone))).astimezone(UTC).isoformat())
    return found


def without_next_run(deployments: Iterable[Document], coming: Collection[str]) -> list[str]:
    """Deployments with an active schedule of which no run is planned. coming: deployments that have a next run."""
    latest = datetime.now(UTC) - _SCHEDULED_AFTER
    return [
        item["label"]
        for item in deployments
        if item["label"] not in coming
        and not item.get("paused")
        and any(schedule["active"] for schedule in item["schedules"])
        and datetime.fromisoformat(item["updated"]) < latest
    ]
