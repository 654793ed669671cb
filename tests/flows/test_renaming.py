"""Deployments of an earlier release get their new names, and lose nothing that people did to them."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule

from flows.renaming import carry_over, paused_kept


@flow(name="prune")
def prune() -> None:
    pass


def cron(line: str, *, slug: str | None = None, active: bool = True) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(schedule=CronSchedule(cron=line, timezone="UTC"), active=active, slug=slug)


def deployed(client: SyncPrefectClient, name: str, schedules: list[DeploymentScheduleCreate]) -> Any:
    return client.create_deployment(
        flow_id=client.create_flow(prune), name=name, tags=["mtl"], schedules=schedules, paused=False
    )


def test_pauses_and_schedules_are_carried_over_and_the_old_name_goes() -> None:
    with get_client(sync_client=True) as client:
        old = deployed(client, "weekly", [cron("30 5 * * 1", slug="weekly", active=False), cron("0 1 1 * *")])
        client.pause_deployment(old)
        new = deployed(client, "prune-checkpoints", [cron("30 5 * * 1", slug="weekly")])
        assert carry_over(client) == {"prune/weekly": "prune/prune-checkpoints"}
        found = client.read_deployment(new)
        names = {item.name for item in client.read_deployments()}
        assert carry_over(client) == {}
        client.delete_deployment(new)
    assert found.paused
    assert {(its.schedule.cron, its.active) for its in found.schedules} == {  # type: ignore[union-attr]
        ("30 5 * * 1", False),
        ("0 1 1 * *", True),
    }
    assert "weekly" not in names


def test_without_the_new_one_the_old_one_stays() -> None:
    with get_client(sync_client=True) as client:
        old = deployed(client, "weekly", [])
        assert carry_over(client) == {}
        client.delete_deployment(old)


def test_what_is_paused_stays_paused_when_it_is_deployed_again() -> None:
    with get_client(sync_client=True) as client:
        paused, other = deployed(client, "paused", []), deployed(client, "other", [])
        client.pause_deployment(paused)
        with paused_kept(client):
            client.resume_deployment(paused)  # as `prefect deploy` does
        states = [client.read_deployment(its).paused for its in (paused, other)]
        for made in (paused, other):
            client.delete_deployment(made)
    assert states == [True, False]
