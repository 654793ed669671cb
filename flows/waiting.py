"""Who waits for whom: a run that has to wait says which run it waits for, in its log, on its page and in `mtl status`.

A run waits for the device (its training has a slot of a concurrency limit) or, if its deployment runs once at a time,
for the run of that deployment. The former has a process and says so itself. The latter has none yet: the run that it
waits for says it for it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, LogCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.runtime import deployment, flow_run
from prefect.variables import Variable

from mtl.service.runs import QUEUED, WAITING

LOOK_AGAIN_SECONDS = 3.0
"""Seconds after which a run that waits looks whether the slot is free, or another run has it."""
_LEASE = 60.0
_QUEUE_SECONDS = 10.0


def is_taken(limit: str) -> bool:
    """Whether a run would have to wait for a slot of this concurrency limit, also for a server that is away."""
    try:
        with get_client(sync_client=True) as client:
            found = client.read_global_concurrency_limit_by_name(limit)
    except ObjectNotFound:
        return False
    except httpx.TransportError:
        return True
    return found.active and found.active_slots >= found.limit


@contextmanager
def slot(limit: str) -> Iterator[None]:
    """A slot of a concurrency limit for the time of the block. Called in a run; it says for which run it waits."""
    notice = _Notice()
    while is_taken(limit):
        with suppress(httpx.HTTPError):
            notice.show(_holder(limit), limit)
        time.sleep(LOOK_AGAIN_SECONDS)  # a run that waits in Prefect's own queue takes half a minute to be cancelled
    # A lease that cannot be renewed while the server is away does not end the training.
    with concurrency(limit, lease_duration=_LEASE, raise_on_lease_renewal_failure=False):
        with suppress(httpx.HTTPError):
            notice.over()
            Variable.set(_variable(limit), {"id": flow_run.get_id(), "run": _own_name()}, overwrite=True)
        yield


def _variable(limit: str) -> str:
    """Prefect variable that names the last run that got a slot of a limit."""
    return "mtl_has_" + re.sub(r"[^a-z0-9]+", "_", limit.lower())


def _holder(limit: str) -> str | None:
    """The run that has the slot; None in the moment between two runs."""
    kept = Variable.get(_variable(limit))
    found = kept if isinstance(kept, dict) else {}
    with get_client(sync_client=True) as client, suppress(ObjectNotFound, ValueError, KeyError):
        state = client.read_flow_run(UUID(str(found["id"]))).state
        if state is not None and state.is_running():
            return str(found["run"])
    return None


def _own_name() -> str:
    """`demo run calm-otter`: deployment, or else flow, and run."""
    return f"{deployment.name or flow_run.get_flow_name()} run {flow_run.get_name()}"


class _Notice:
    """What a run says about its waiting; a line and an artifact for each run that it waits for."""

    def __init__(self) -> None:
        self._text = ""
        self._artifact: UUID | None = None

    def show(self, holder: str | None, limit: str) -> None:
        text = f"waits for {holder or 'another run'}, which has the device ({limit})"
        if text == self._text or (self._text and holder is None):
            return
        self._text = text
        get_run_logger().info("%s", text)
        if self._artifact is None:
            made = create_progress_artifact(progress=0.0, key=WAITING, description=text)
            self._artifact = made if isinstance(made, UUID) else None
        else:
            update_progress_artifact(self._artifact, progress=0.0, description=text)

    def over(self) -> None:
        if self._artifact is not None:
            get_run_logger().info("the device is free now, and the training begins")
            update_progress_artifact(self._artifact, progress=100.0, description=self._text.replace("waits", "waited"))


@contextmanager
def queue_told() -> Iterator[None]:
    """While the block runs, runs that wait for this one's end, because their deployment runs once at a time, say so."""
    own, name = deployment.id, f"{flow_run.get_flow_name()}/{deployment.name}"
    if own is None:
        yield
        return
    text = f"waits for {_own_name()}: {name} runs once at a time"
    over = threading.Event()
    teller = threading.Thread(target=_tell_queue, args=[UUID(str(own)), text, over], daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join(_QUEUE_SECONDS)


def _tell_queue(own: UUID, text: str, over: threading.Event) -> None:
    told: set[UUID] = set()
    while True:
        with suppress(Exception), get_client(sync_client=True) as client:  # news; the run itself goes on
            for run in client.read_flow_runs(flow_run_filter=_queued(own)):
                if run.id not in told:
                    _tell(client, run.id, text)
                    told.add(run.id)
        if over.wait(_QUEUE_SECONDS):
            return


def _queued(own: UUID) -> FlowRunFilter:
    return FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[own]),
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[QUEUED])),
    )


def _tell(client: SyncPrefectClient, run: UUID, text: str) -> None:
    artifact: dict[str, Any] = {"key": WAITING, "type": "progress", "data": 0.0, "description": text}
    client.create_artifact(ArtifactCreate(**artifact, flow_run_id=run))
    client.create_logs([LogCreate(name="mtl", level=20, message=text, timestamp=datetime.now(UTC), flow_run_id=run)])
