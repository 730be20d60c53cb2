"""Instants and durations as tests write them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from scheduler._arguments import check_zone
from scheduler._texts import shown
from scheduler.timing.clock import SECOND, to_micros
from scheduler.timing.local_time import instant_of

Moment: TypeAlias = str | datetime
"""Such as `"2026-03-30 08:59 Europe/Berlin"`."""
Duration: TypeAlias = str | float | timedelta
"""Such as `"3m"`, or seconds."""

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d)\s*)+")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def micros_at(moment: Moment, zone: str, name: str) -> int:
    """Return an instant in microseconds since 1970.

    A text is a date or a date and a time in ISO 8601, and the IANA name of a zone behind it, or an offset. Without
    either, and for a naive datetime, the time is that of `zone`. `name` is the argument. Raises `ValueError`.
    """
    local, zone = (moment, zone) if isinstance(moment, datetime) else _parsed(moment, zone, name)
    if local.tzinfo is None:
        local = instant_of(local, UTC if zone == "UTC" else ZoneInfo(zone))
    return to_micros(local)


def _parsed(text: object, zone: str, name: str) -> tuple[datetime, str]:
    hint = 'give a datetime, or a text such as "2026-03-30 08:59 Europe/Berlin"'
    if not isinstance(text, str):
        raise ValueError(f"{name}={shown(text)} is no instant; {hint}")  # noqa: TRY004 (as every wrong argument)
    date, _, last = text.strip().rpartition(" ")
    if not date or last[0].isdigit():
        date, last = text.strip(), ""
    try:
        local = datetime.fromisoformat(date)
    except ValueError:
        raise ValueError(f"{name}={shown(text)} is no instant; {hint}") from None
    if last:
        check_zone(last)
        if local.tzinfo is not None:
            raise ValueError(f"{name}={shown(text)} names an offset and a zone; leave one out")
    return local, last or zone


def seconds_in(duration: Duration, name: str) -> float:
    """Return a duration in seconds, at least 0. `name` is the argument. Raises `ValueError`."""
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, str) and _DURATION.fullmatch(duration.strip()):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(duration))
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        seconds = float(duration)
    else:
        raise ValueError(f'{name}={shown(duration)} is no duration; give seconds, or a text such as "90s" or "1h30m"')
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{name}={shown(duration)} is out of range; give 0 or more")
    return seconds


def micros_in(days: float, hours: float, minutes: float, seconds: float) -> int:
    """Return the sum in microseconds. Raises `ValueError` if it is negative."""
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if span < timedelta():
        raise ValueError("time goes forward: give no negative span; set_clock sets the clock back")
    return round(span / timedelta(microseconds=1))


__all__ = ["SECOND", "Duration", "Moment", "micros_at", "micros_in", "seconds_in"]
