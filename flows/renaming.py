"""What people did to a deployment stays: also where an earlier release had another name for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.responses import DeploymentResponse

from mtl.service.deployments import RENAMED


@contextmanager
def paused_kept(client: SyncPrefectClient) -> Iterator[None]:
    """`prefect deploy` switches a deployment that is paused on again; after the block it is paused as before."""
    paused = [item.id for item in client.read_deployments(limit=200) if "mtl" in item.tags and item.paused]
    try:
        yield
    finally:
        for deployment in paused:
            client.pause_deployment(deployment)


def carry_over(client: SyncPrefectClient) -> dict[str, str]:
    """Old name -> new name of those that were found. What is paused, switched off or added stays so."""
    found = {
        f"{client.read_flow(item.flow_id).name}/{item.name}": item
        for item in client.read_deployments(limit=200)
        if "mtl" in item.tags
    }
    renamed = {old: new for old, new in RENAMED.items() if old in found and new in found}
    for old, new in renamed.items():
        _carry(client, found[old], found[new])
        client.delete_deployment(found[old].id)
    return renamed


def _carry(client: SyncPrefectClient, old: DeploymentResponse, new: DeploymentResponse) -> None:
    there = {schedule.slug: schedule for schedule in new.schedules if schedule.slug}
    for schedule in old.schedules:
        same = there.get(schedule.slug or "")
        if same is None:
            client.create_deployment_schedules(new.id, [DeploymentScheduleCreate.model_validate(_copied(schedule))])
        elif same.active != schedule.active:
            client.update_deployment_schedule(new.id, same.id, active=schedule.active)
    if old.paused:
        client.pause_deployment(new.id)


def _copied(schedule: object) -> dict[str, object]:
    return {name: getattr(schedule, name) for name in ("schedule", "active", "parameters", "slug")}
