"""Stop and go on without losing a run: the pool is paused, and runs are asked to stop at a safe point."""

from __future__ import annotations

import time
from typing import Any

from mtl import progress
from mtl.errors import TransientError
from mtl.stack.servers import login
from mtl.stack.service import ask
from mtl.stack.state import POOL, Stack

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


def wait_until_idle(stack: Stack, *, seconds: float) -> bool:
    """Whether all runs ended within so many seconds."""
    deadline = time.monotonic() + seconds
    while left := running(stack):
        if time.monotonic() >= deadline:
            return False
        progress.report("drain", 0, len(left), f"waiting for {', '.join(run['name'] for run in left)}")
        time.sleep(0.5)
    return True


def reschedule(stack: Stack, run: dict[str, Any]) -> None:
    """Have a run that was interrupted start again once there is a worker: the same run, from its checkpoint."""
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "the stack went down"}
    _api(stack, f"flow_runs/{run['id']}/set_state", {"state": state, "force": True})


def _api(stack: Stack, path: str, body: Any, *, method: str | None = None) -> Any:
    try:
        return ask(f"{stack.url('prefect')}/api/{path}", **login(stack), body=body, method=method)
    except TransientError as error:
        raise TransientError(f"Prefect's server did not do it: {error}", hint=f"see {stack.logs}/prefect.log") from None
