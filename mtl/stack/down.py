"""Bring the stack down: runs end or stop at a safe point first, then the services, the latest started first."""

from __future__ import annotations

import shutil
from typing import Any

from mtl.errors import TransientError
from mtl.stack import drain, supervisor
from mtl.stack.state import Stack


def bring_down(stack: Stack, *, wait: float) -> dict[str, Any]:
    """Wait up to `wait` seconds for runs to end, stop those that are left at a safe point, and stop the services.

    `interrupted`: names of the runs that go on when the stack is up again.
    """
    interrupted = stop_runs(stack, wait=wait) if supervisor.processes(stack) else []
    if supervisor.manager_runs(stack):
        supervisor.stop_manager(stack)
    else:
        supervisor.end_processes(supervisor.processes(stack), seconds=30)
    shutil.rmtree(stack.temporary, ignore_errors=True)
    return {"interrupted": interrupted}


def stop_runs(stack: Stack, *, wait: float) -> list[str]:
    """No run has a process afterwards; the names of those that were interrupted.

    Works without the manager. Without Prefect's server, runs are stopped at a safe point all the same, and what becomes
    of their states is settled when the stack is up again.
    """
    try:
        drain.pause(stack)
        if drain.wait_until_idle(stack, seconds=wait):
            return []
        names = [str(run["name"]) for run in drain.running(stack)]
        drain.interrupt(stack)
        drain.settle(stack)
    except TransientError:
        drain.interrupt(stack)
        return []
    return names
