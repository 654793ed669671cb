"""The table of services.

python -m mtl.stack.services NAME becomes that service: supervisord starts those with secrets so, and keeps none itself.
"""

from __future__ import annotations

import os
import sys

from mtl.settings import child_environment, load_settings
from mtl.settings.file import apply_settings_file
from mtl.stack import postgres, s3, servers
from mtl.stack.service import Service
from mtl.stack.state import Stack, open_stack


def all_services(stack: Stack) -> list[Service]:
    """Every service, those that others need first."""
    own = s3.services(stack) if stack.store is None else []
    behind = ("postgres", "s3") if own else ("postgres",)
    needed = ("prefect", "mlflow", "s3") if own else ("prefect", "mlflow")
    return [
        postgres.service(stack),
        *own,
        servers.prefect(stack),
        servers.mlflow(stack, needs=behind),
        servers.worker(stack, needs=needed),
        servers.webhooks(stack, needs=("prefect", "mlflow")),
        servers.serve(stack, needs=("s3",) if own else ()),
    ]


def become(name: str) -> None:
    """Replace this process by the service."""
    apply_settings_file()  # as it is now: the manager may have started before it was written
    stack = open_stack(load_settings().home)
    (service,) = (service for service in all_services(stack) if service.name == name)
    # In a shared /tmp, Prefect's workers use one folder and MLflow one lock for each port: the first user's alone.
    own = {"TMPDIR": str(stack.temporary)}
    os.execvpe(service.command[0], list(service.command), child_environment({**own, **service.environment}))  # noqa: S606


if __name__ == "__main__":
    become(sys.argv[1])
