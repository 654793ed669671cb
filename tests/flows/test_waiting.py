"""Runs that wait for another run say for which: in the log, as an artifact of the run's page, in `mtl status`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Scheduled

from flows import waiting
from mtl.cli.main import run as mtl

LIMIT = "device-test"


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    monkeypatch.setenv("MTL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(waiting, "LOOK_AGAIN_SECONDS", 0.5)
    with get_client(sync_client=True) as client:
        made = client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, limit=1))
    yield LIMIT
    with get_client(sync_client=True) as client:
        client.delete_global_concurrency_limit_by_name(LIMIT)
    assert made


@flow(name="has-the-device", validate_parameters=False)
def holds(limit: str, begun: threading.Event, over: threading.Event) -> str:
    with waiting.slot(limit):
        begun.set()
        over.wait(120)
    return str(flow_run.get_name())


@flow(name="wants-the-device", validate_parameters=False)
def wants(limit: str, ids: list[UUID]) -> None:
    ids.append(UUID(str(flow_run.get_id())))
    with waiting.slot(limit):
        pass


def started(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    return thread, done


def artifact(run: UUID, seconds: float = 60) -> tuple[str, float]:
    """(description, progress) of what the run says about its waiting."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with get_client(sync_client=True) as client:
            for found in client.read_artifacts():
                if found.flow_run_id == run and found.key == "waiting-progress":
                    return str(found.description), float(str(found.data))
        time.sleep(0.2)
    raise AssertionError("the run says nothing about its waiting")


def logged(run: UUID, text: str, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with get_client(sync_client=True) as client:
            lines = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run])))
        if any(text in line.message for line in lines):
            return True
        time.sleep(0.3)
    return False


def status(capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert mtl(["status", "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_run_that_waits_for_the_device_says_which_run_has_it(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    begun, over, ids = threading.Event(), threading.Event(), list[UUID]()
    assert not waiting.is_taken(limit)
    holder, held = started(lambda: holds(limit, begun, over))
    assert begun.wait(60)
    waiter, _ = started(lambda: wants(limit, ids))
    while not ids:
        time.sleep(0.1)
    said, progress = artifact(ids[0])
    assert waiting.is_taken(limit)
    shown = next(run for run in status(capsys)["runs"] if run["id"] == str(ids[0]))
    over.set()
    holder.join(60)
    waiter.join(60)
    assert said == f"waits for has-the-device run {held[0]}, which has the device ({limit})"
    assert (progress, shown["state"], shown["progress"]) == (0.0, "Running", said)
    assert artifact(ids[0]) == (said.replace("waits", "waited"), 100.0)
    assert not waiting.is_taken(limit)


def test_a_run_that_need_not_wait_says_nothing(limit: str) -> None:
    ids: list[UUID] = []
    wants(limit, ids)
    with pytest.raises(AssertionError, match="says nothing"):
        artifact(ids[0], seconds=0.5)


def test_a_limit_that_nobody_made_keeps_nobody_waiting() -> None:
    assert waiting.is_taken("device-nobody-made") is False


@flow(name="once-at-a-time", validate_parameters=False)
def once_at_a_time(over: threading.Event) -> str:
    with waiting.queue_told():
        over.wait(120)
    return str(flow_run.get_name())


def test_a_queued_run_is_told_for_which_run_of_its_deployment_it_waits(
    limit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server queues it, so that it has no process that could say anything."""
    queued = queued_run()
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(queued.deployment_id))
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__NAME", "nightly")
    over = threading.Event()
    runner, done = started(lambda: once_at_a_time(over))
    said, _ = artifact(queued.id)
    shown = next(run for run in status(capsys)["runs"] if run["id"] == str(queued.id))
    over.set()
    runner.join(60)
    assert said == f"waits for nightly run {done[0]}: once-at-a-time/nightly runs once at a time"
    assert (shown["state"], shown["progress"]) == ("AwaitingConcurrencySlot", said)
    assert logged(queued.id, said)


def queued_run() -> FlowRun:
    with get_client(sync_client=True) as client:
        made = client.create_deployment(flow_id=client.create_flow(once_at_a_time), name="nightly")
        return client.create_flow_run_from_deployment(made, state=Scheduled(name="AwaitingConcurrencySlot"))
