"""Bring the stack down: runs end or stop at a safe point first, then the services, the latest started first."""

from __future__ import annotations

from typing import Any

from mtl.errors import TransientError
from mtl.stack import drain, supervisor
from mtl.stack.state import Stack


def bring_down(stack: Stack, *, wait: float) -> dict[str, Any]:
    """Wait up to `wait` seconds for runs to end, stop those that are left at a safe point, and stop the services.

    `interrupted`: names of the runs that go on when the stack is up again.
    """
    interrupted: list[str] = []
    if {"worker", "prefect"} <= supervisor.running(stack):
        interrupted = _drain(stack, wait)
    supervisor.stop_manager(stack)
    return {"interrupted": interrupted}


def _drain(stack: Stack, wait: float) -> list[str]:
    try:
        drain.pause(stack)
        if drain.wait_until_idle(stack, seconds=wait):
            return []
        left = drain.running(stack)
        supervisor.stop_process(stack, "worker")
        drain.wait_until_idle(stack, seconds=60)  # a run says that it crashed only after its trainer saved
        for run in left:
            drain.reschedule(stack, run)
    except TransientError:  # a server that does not answer cannot tell what runs; checkpoints can
        return []
    return [str(run["name"]) for run in left]
