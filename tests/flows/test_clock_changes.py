"""Schedules in the nights in which clocks change: what Prefect does, and what is said of it beforehand."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import pytest
from prefect.server.schemas.schedules import CronSchedule

from flows.clock_changes import skipped_time

SPRING = {"Europe/Berlin": datetime(2027, 3, 28), "America/New_York": datetime(2027, 3, 14)}
AUTUMN = {"Europe/Berlin": datetime(2026, 10, 25), "America/New_York": datetime(2026, 11, 1)}
BEFORE = timedelta(hours=12)


def runs(cron: str, timezone: str, day: datetime) -> list[str]:
    """Every run of a day that Prefect's scheduler plans, which looks again and again."""
    found = set()
    schedule = CronSchedule(cron=cron, timezone=timezone)
    for minutes in range(0, 36 * 60, 20):
        now = (day - BEFORE + timedelta(minutes=minutes)).replace(tzinfo=UTC)
        found |= set(asyncio.run(schedule.get_dates(2, start=now)))
    return [moment.strftime("%H:%M%z") for moment in sorted(found) if moment.date() == day.date()]


@pytest.mark.parametrize(
    ("timezone", "early", "late"),
    [("Europe/Berlin", "01:30+0100", "03:30+0200"), ("America/New_York", "01:30-0500", "03:30-0400")],
)
def test_a_skipped_time_is_run_once_an_hour_early_or_late(timezone: str, early: str, late: str) -> None:
    """Which, is decided by the Python of Prefect's server."""
    expected = late if sys.version_info >= (3, 13) else early
    assert runs("30 2 * * *", timezone, SPRING[timezone]) == [expected]


@pytest.mark.parametrize(
    ("timezone", "cron", "first"),
    [("Europe/Berlin", "30 2 * * *", "02:30+0200"), ("America/New_York", "30 1 * * *", "01:30-0400")],
)
def test_a_time_that_comes_twice_is_run_once_the_first_time(timezone: str, cron: str, first: str) -> None:
    assert runs(cron, timezone, AUTUMN[timezone]) == [first]


@pytest.mark.parametrize("timezone", SPRING)
def test_a_schedule_in_the_skipped_hour_is_found_within_a_year(timezone: str) -> None:
    night = SPRING[timezone] + timedelta(hours=2, minutes=30)
    for now in (night.replace(tzinfo=UTC) - timedelta(days=days) for days in (1, 100, 360)):
        assert skipped_time("30 2 * * *", timezone, now=now) == night
    after = skipped_time("30 2 * * *", timezone, now=night.replace(tzinfo=UTC) + timedelta(days=1))
    assert after is not None
    assert after.year == night.year + 1


@pytest.mark.parametrize(
    ("cron", "timezone"),
    [
        ("30 2 * * *", "UTC"),
        ("30 2 * * *", "Asia/Tokyo"),
        ("0 3 * * *", "Europe/Berlin"),
        ("30 1 * * *", "Europe/Berlin"),
        ("30 2 * * 1-5", "Europe/Berlin"),  # clocks change on a Sunday
        ("*/30 * * * *", "Europe/Berlin"),  # half past one and half past three are planned anyway
        ("0 * * * *", "America/New_York"),
    ],
)
def test_other_schedules_are_not_touched(cron: str, timezone: str) -> None:
    assert skipped_time(cron, timezone, now=datetime(2026, 11, 26, tzinfo=UTC)) is None
