"""One stack, brought up and deployed to once, for all tests that need the real services."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.bases import save_base
from tests.support.stacks import RARELY, Service, running_stack, why_not


@pytest.fixture(scope="session")
def first_up() -> dict[str, Any]:
    """What the first `mtl stack up` said, and how long it took; filled by `service`."""
    return {}


@pytest.fixture(scope="session")
def commands_seen() -> Iterator[set[str]]:
    """Every command line that the process list of this machine showed while the stack was made and used."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    seen.add(" ".join(process.cmdline()))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    yield seen
    over.set()
    watcher.join()


@pytest.fixture(scope="session")
def service(first_up: dict[str, Any], commands_seen: set[str]) -> Iterator[Service]:
    if reason := why_not():
        pytest.skip(reason)
    if kept := os.environ.get("MTL_TEST_STACK"):  # a folder: its stack is used, made if need be, and left running
        if not (Path(kept) / "base").exists():
            save_base(Path(kept) / "base")
        yield ready(Service(Path(kept), Path(kept) / "base"), first_up)
        return
    with running_stack() as made:
        yield ready(made, first_up)


def ready(service: Service, first_up: dict[str, Any]) -> Service:
    """Up and deployed to. No schedule starts a retrain between tests, whatever the time of the day is."""
    first_up |= service.up()
    service.mtl("deploy", "--cron", RARELY)
    deployment = service.api("GET", "deployments/name/check-data/look-for-new-data")
    for schedule in deployment["schedules"]:
        service.api("PATCH", f"deployments/{deployment['id']}/schedules/{schedule['id']}", {"active": False})
    return service


@pytest.fixture(scope="session")
def undisturbed(service: Service) -> str:
    """sha256 of the adapter of a retrain that nothing happened to."""
    if not service.versions("undisturbed"):
        service.wait(service.trigger("retrain/demo", {"config": service.config("undisturbed")}))
    return service.adapter("undisturbed")
