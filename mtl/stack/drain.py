"""Stop and go on without losing a run: the pool is paused, and runs are asked to stop at a safe point."""

from __future__ import annotations

import time
from typing import Any

import psutil

from mtl import progress
from mtl.errors import TransientError
from mtl.stack import supervisor
from mtl.stack.servers import login
from mtl.stack.service import ask
from mtl.stack.state import POOL, Stack

RERUN = "rerun"
"""Tag of runs that go on from their checkpoint when they are started again."""
_SAVE_SECONDS = 120.0
_RUNNING = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}


def pause(stack: Stack) -> None:
    """No run is started any more."""
    _api(stack, f"work_pools/{POOL}", {"is_paused": True}, method="PATCH")


def resume(stack: Stack) -> None:
    """Runs are started again."""
    _api(stack, f"work_pools/{POOL}", {"is_paused": False}, method="PATCH")


def running(stack: Stack) -> list[dict[str, Any]]:
    """The flow runs that the pool's workers work on: id, name, state."""
    found = _api(stack, "flow_runs/filter", {**_RUNNING, "work_pools": {"name": {"any_": [POOL]}}})
    return list(found)


def deployments(stack: Stack) -> int:
    """How many deployments there are; 0 where nobody answers."""
    try:
        return int(_api(stack, "deployments/count", {}))
    except TransientError:
        return 0


def wait_until_idle(stack: Stack, *, seconds: float) -> bool:
    """Whether all runs ended within so many seconds."""
    deadline = time.monotonic() + seconds
    while left := running(stack):
        rest = deadline - time.monotonic()
        if rest <= 0:
            return False
        names = ", ".join(run["name"] for run in left)
        progress.report("runs", 0, len(left), f"{names} may end by themselves for another {rest:.0f} s")
        time.sleep(0.5)
    return True


def interrupt(stack: Stack) -> None:
    """Ask the processes of runs to stop; each saves a checkpoint, schedules its run again, and ends."""
    left = [process for process in supervisor.processes(stack) if _executes_a_run(process)]
    if left:
        progress.report("runs", 0, len(left), "stop after the step that they are in, and save a checkpoint")
        supervisor.end_processes(left, seconds=_SAVE_SECONDS)


def settle(stack: Stack) -> list[str]:
    """Give every run without a process a state that says so; the names of those that run again.

    Only to be called while no run has a process: after `interrupt`, or before the first worker starts.
    """
    again = []
    for run in [*running(stack), *_crashed(stack)]:
        if run["state_type"] == "CANCELLING":
            _set_state(stack, run, "CANCELLED", "Cancelled", "its process is gone")
        elif RERUN in run["tags"]:
            _set_state(stack, run, "SCHEDULED", "AwaitingRetry", "its process is gone; it runs again")
            again.append(str(run["name"]))
        elif run["state_type"] != "CRASHED":
            _set_state(stack, run, "CRASHED", "Crashed", "its process is gone")
    return again


def _crashed(stack: Stack) -> list[dict[str, Any]]:
    """Of each deployment the newest run, if it crashed: a later run makes an earlier crash good."""
    begun = {"start_time": {"is_null_": False}, "tags": {"all_": [RERUN]}}
    asked = {"sort": "START_TIME_DESC", "limit": 200, "flow_runs": begun, "work_pools": {"name": {"any_": [POOL]}}}
    newest: dict[str, dict[str, Any]] = {}
    for run in _api(stack, "flow_runs/filter", asked):
        newest.setdefault(str(run["deployment_id"]), run)
    return [run for run in newest.values() if run["state_type"] == "CRASHED"]


def _executes_a_run(process: psutil.Process) -> bool:
    try:
        return {"flow-run", "execute"} <= set(process.cmdline())
    except psutil.Error:
        return False


def _set_state(stack: Stack, run: dict[str, Any], kind: str, name: str, message: str) -> None:
    state = {"type": kind, "name": name, "message": message}
    _api(stack, f"flow_runs/{run['id']}/set_state", {"state": state, "force": True})


def _api(stack: Stack, path: str, body: Any, *, method: str | None = None) -> Any:
    try:
        return ask(f"{stack.url('prefect')}/api/{path}", **login(stack), body=body, method=method)
    except TransientError as error:
        raise TransientError(f"Prefect's server did not do it: {error}", hint=f"see {stack.logs}/prefect.log") from None
