"""Instants as the pages show them, on the clock of the viewer or of a task."""

from datetime import datetime, timedelta, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from scheduler.timing.local_time import on_clock_of

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_NEAR_DAYS: Final = {-1: "yesterday", 0: "today", 1: "tomorrow"}


def zone_named(name: str | None) -> ZoneInfo | None:
    """Return a zone by its name; None if there is no such zone."""
    try:
        return None if not name else ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return None


@cache
def zone_names() -> tuple[str, ...]:
    """Return the names of all zones that people choose from: those with a place, and UTC."""
    places = (name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "SystemV/")))
    return ("UTC", *sorted(places))


def day_and_clock(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return a day and a time to the minute: `today 17:15`, `Mon 30 Nov 09:00`, `30 Nov 2028 09:00`."""
    local, today = on_clock_of(moment, zone), on_clock_of(now, zone)
    days = (local.date() - today.date()).days
    return f"{_NEAR_DAYS[days]} {local:%H:%M}" if days in _NEAR_DAYS else date_and_clock(moment, now, zone)


def date_and_clock(moment: datetime, now: datetime, zone: tzinfo) -> str:
    """Return a date and a time to the minute, without a word such as `today`: that is another day elsewhere."""
    local, today = on_clock_of(moment, zone), on_clock_of(now, zone)
    month = f"{local.day} {local:%b}"
    return f"{local:%a} {month} {local:%H:%M}" if local.year == today.year else f"{month} {local.year} {local:%H:%M}"


def exact(moment: datetime, zone: tzinfo) -> str:
    """Return an instant to the second, with its zone: `2026-11-27 17:15:03 Europe/Berlin (UTC+01:00)`."""
    local = on_clock_of(moment, zone)
    offset = f"{local:%z}"
    return f"{local:%Y-%m-%d %H:%M:%S} {zone} (UTC{offset[:3]}:{offset[3:5]})"


def from_now(moment: datetime, now: datetime) -> str:
    """Return how far away an instant is: `in 5 min`, `3 h ago`, `now`."""
    ahead = moment - now
    length = abs(ahead)
    if length < timedelta(seconds=1):
        return "now"
    if length < _MINUTE:
        text = f"{round(length.total_seconds())} s"
    elif length < _HOUR:
        text = f"{length // _MINUTE} min"
    elif length < 2 * _DAY:
        text = f"{length // _HOUR} h"
    else:
        text = f"{length // _DAY} days"
    return f"in {text}" if ahead > timedelta(0) else f"{text} ago"


def has_other_clock(moment: datetime, one: tzinfo, other: tzinfo) -> bool:
    """Tell whether two zones have different clocks at an instant."""
    return on_clock_of(moment, one).utcoffset() != on_clock_of(moment, other).utcoffset()
