"""What becomes of a schedule in the nights in which clocks change.

Prefect runs a cron schedule by the time on the wall. When clocks go back, a time that comes twice is run once, the
first time. When they go forward, a skipped time is run an hour early by a server on Python 3.12 or older, and an
hour late by one on Python 3.13 or newer.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from prefect.server.schemas.schedules import CronSchedule

_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)
_DAYS_AHEAD = 366


def skipped_time(cron: str, timezone: str, *, now: datetime) -> datetime | None:
    """The schedule's next time on the wall, within a year, that the clocks of its time zone skip; None without one.

    None also where another run is at the time that Prefect would take instead, as with a schedule of every half hour.
    """
    gap = _next_gap(ZoneInfo(timezone), now)
    if gap is None:
        return None
    first, last = gap
    start, end = first - 2 * (last - first), last + 2 * (last - first)
    planned = _times(cron, "UTC", start=start, end=end)
    if _times(cron, timezone, start=start, end=end) <= planned:
        return None
    return next((moment for moment in sorted(planned) if first <= moment <= last), None)


def _next_gap(zone: ZoneInfo, now: datetime) -> tuple[datetime, datetime] | None:
    """First and last minute on the wall of the next hour that is skipped, within a year."""
    noon = now.astimezone(zone).replace(hour=12, minute=0, second=0, microsecond=0, tzinfo=None)
    for day in range(-1, _DAYS_AHEAD):
        before, after = noon + day * _DAY, noon + (day + 1) * _DAY
        if _offset(after, zone) > _offset(before, zone):
            skipped = [moment for moment in (before + n * _MINUTE for n in range(24 * 60)) if not _exists(moment, zone)]
            if skipped and skipped[-1].replace(tzinfo=zone) > now:
                return skipped[0], skipped[-1]
    return None


def _offset(wall: datetime, zone: ZoneInfo) -> timedelta:
    return wall.replace(tzinfo=zone).utcoffset() or timedelta()


def _exists(wall: datetime, zone: ZoneInfo) -> bool:
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall


def _times(cron: str, timezone: str, *, start: datetime, end: datetime) -> set[datetime]:
    """The schedule's times on the wall between two of them."""
    zone = ZoneInfo(timezone)
    dates = asyncio.run(
        CronSchedule(cron=cron, timezone=timezone).get_dates(
            start=start.replace(tzinfo=zone), end=end.replace(tzinfo=zone)
        )
    )
    return {datetime.fromisoformat(moment.isoformat()).replace(tzinfo=None) for moment in dates}
