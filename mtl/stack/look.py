"""How the stack is: what runs, what answers, how much memory it takes, and how to get in."""

from __future__ import annotations

import contextlib
from typing import Any

import psutil

from mtl.stack import drain, supervisor
from mtl.stack.services import all_services
from mtl.stack.state import Stack

_UNMANAGED = (
    "the stack runs without its manager, so that nothing that ends is started again; "
    "mtl stack up stops it at a safe point and starts it in order"
)


def look(stack: Stack) -> dict[str, Any]:
    """The document of `mtl stack status`; it holds no password."""
    found = supervisor.states(stack)
    unmanaged = not found and bool(supervisor.processes(stack))
    services = []
    for service in all_services(stack):
        process = found.get(service.name, {"statename": "STOPPED", "pid": 0})
        runs = process["statename"] == "RUNNING"
        state = "healthy" if (runs or unmanaged) and service.healthy() else process["statename"].lower()
        memory = _memory(process["pid"]) if runs else 0
        services.append({"name": service.name, "state": state, "memory_mb": memory, "url": service.public})
    healthy = not unmanaged and all(service["state"] == "healthy" for service in services)
    secrets = stack.folder / "secrets.json"
    return {
        "services": services,
        "healthy": healthy,
        "memory_mb": sum(service["memory_mb"] for service in services),
        "logins": {
            "Prefect": f'admin:PASSWORD, which is the value of "prefect" in {secrets}',
            "MLflow": f'admin, password the value of "mlflow" in {secrets}',
            "mtl serve": f'the holder of its key, which is the value of "serve" in {secrets}',
        },
        "logs": str(stack.logs),
        "warnings": [_UNMANAGED] if unmanaged else [],
        "next": _next(stack) if healthy else "mtl stack up",
    }


def _next(stack: Stack) -> str:
    deployed = drain.deployments(stack)
    return "mtl status" if deployed else 'eval "$(mtl stack env)" && mtl deploy'


def _memory(pid: int) -> int:
    """Megabytes that a process and its children have to themselves."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_full_info().pss
    return round(total / 1e6)
