"""Deployments whose runs cannot start, or never will."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mtl.service.deployments import missing_parts, on_this_machine, planned_runs, without_next_run
from tests.support.paths import ALL


def deployment(name: str, *, folder: str = "/", python: str = sys.executable, active: bool = True) -> dict[str, Any]:
    """As Prefect's API gives it."""
    return {
        "label": name,
        "job_variables": {"working_dir": folder, "command": f"{python} -m prefect flow-run execute"},
        "schedules": [{"active": active}],
        "updated": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
    }


def test_a_folder_or_an_interpreter_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    found = missing_parts([deployment("a/fine"), deployment("b/moved", folder=gone), deployment("c/old", python=gone)])
    assert found == [
        ("b/moved", f"its folder {gone} does not exist"),
        ("c/old", f"its interpreter {gone} does not exist"),
    ]


def test_an_interpreter_in_a_folder_of_any_name_is_found(tmp_path: Path) -> None:
    python = tmp_path / ALL / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    assert missing_parts([deployment("a/odd", folder=str(python.parent), python=shlex.quote(str(python)))]) == []


def test_paths_are_looked_at_only_where_the_worker_is_of_this_machine() -> None:
    assert on_this_machine("http://127.0.0.1:4200/api")
    assert not on_this_machine("https://prefect.example/api")


def test_an_active_schedule_without_a_next_run_is_found_once_the_scheduler_had_its_time() -> None:
    new = deployment("d/new") | {"updated": datetime.now(UTC).isoformat()}
    paused = deployment("e/paused", active=False)
    assert without_next_run([deployment("a/runs"), deployment("b/never"), new, paused], {"a/runs"}) == ["b/never"]


def test_the_next_time_of_a_schedule_is_known_before_its_run_is_made() -> None:
    """In the schedule's own time zone: 3 o'clock in Berlin is another time in UTC after the clocks changed."""

    def planned(cron: str, day: int, *, active: bool = True, paused: bool = False) -> list[str]:
        schedule = {"active": active, "schedule": {"cron": cron, "timezone": "Europe/Berlin"}}
        return planned_runs({"schedules": [schedule], "paused": paused}, datetime(2026, 10, day, 12, tzinfo=UTC))

    assert planned("0 3 * * *", 23) == ["2026-10-24T01:00:00+00:00"]
    assert planned("0 3 * * *", 24) == ["2026-10-25T02:00:00+00:00"]
    assert planned("0 3 * * *", 24, active=False) == planned("0 3 * * *", 24, paused=True) == []
    assert planned("0 0 31 2 *", 24) == planned("nonsense", 24) == []
    assert planned_runs({"schedules": [{"active": True, "schedule": {"interval": 60.0}}]}, datetime.now(UTC)) == []
