"""Instants and durations as people write and read them on a command line."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from scheduler._texts import shown
from scheduler.timing.local_time import LocalTimeError, instant_of, on_clock_of

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_PART: Final = re.compile(r"(\d+)([smhdw])")
_MINUTE, _HOUR, _WEEK = timedelta(minutes=1), timedelta(hours=1), 7


def parse_duration(text: str) -> int:
    """Return seconds from `90`, `90s`, `5m`, `1h30m`, `2d` or `1w`. Raises `ValueError`."""
    stripped = text.strip().lower()
    if stripped.isascii() and stripped.isdigit() and len(stripped) <= 10:  # noqa: PLR2004 (a hundred years)
        return int(stripped)
    if not _DURATION.fullmatch(stripped):
        message = f"{shown(text)} is no duration; give one such as 90s, 5m, 1h30m or 2d"
        raise ValueError(message)
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(stripped))


def parse_instant(text: str, timezone: str | None) -> datetime:
    """Return an aware datetime from ISO 8601; without an offset it is in `timezone`, else UTC. Raises `ValueError`."""
    moment = _from_iso(text, "2027-03-15T14:00 or 2027-03-15T14:00+01:00", "instant")
    if moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC) if timezone is None else instant_of(moment, _zone(timezone))


def _from_iso(text: str, example: str, wanted: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        message = f"{shown(text)} is no {wanted}; give one such as {example}"
        raise ValueError(message) from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        message = f"timezone={shown(name)}: no time zone has this name; give one such as 'Europe/Berlin'"
        raise ValueError(message) from None


def parse_since(text: str, now: datetime) -> datetime:
    """Return the instant that `2h` (ago) or an instant names; one without an offset is local. Raises `ValueError`."""
    with suppress(ValueError, OverflowError):
        return now - timedelta(seconds=parse_duration(text))
    return parse_local(text)


def parse_until(text: str, now: datetime) -> datetime:
    """Return the instant that `2h` (from now) or an instant names; one without an offset is local.

    Raises `ValueError`.
    """
    with suppress(ValueError, OverflowError):
        return now + timedelta(seconds=parse_duration(text))
    return parse_local(text)


def parse_local(text: str) -> datetime:
    """Return the instant that a text names; one without an offset is local. Raises `ValueError`."""
    example = "2h, 3d or 2027-03-15T14:00"
    moment = _from_iso(text, example, "duration or instant")
    if moment.tzinfo is not None:
        return moment
    try:
        return instant_of(moment, None)
    except LocalTimeError:
        raise
    except (OverflowError, ValueError):  # the second is what the clock of this machine raises
        message = f"{shown(text)} lies at an end of the calendar; give a duration or an instant such as {example}"
        raise ValueError(message) from None


def in_local_words(moment: datetime, now: datetime) -> str:
    """Return when something comes, on this machine's clock: `in 12 s`, `today 14:00`, `Mon 09:00`, and so on."""
    ahead = moment - now
    if ahead <= timedelta(0):
        return "now"
    if ahead < _MINUTE:
        return f"in {max(1, round(ahead.total_seconds()))} s"
    if ahead < _HOUR:
        return f"in {ahead // _MINUTE} min"
    local = on_clock_of(moment, None)
    days = (local.date() - on_clock_of(now, None).date()).days
    if days in {0, 1}:
        return f"{('today', 'tomorrow')[days]} {_clock(local)}"
    return f"{local:%a} {_clock(local)}" if days < _WEEK else f"{local:%Y-%m-%d} {_clock(local)}"


def on_the_clock(moment: datetime) -> str:
    """Return date and time on the clock of the datetime's own zone."""
    return f"{moment:%Y-%m-%d} {_clock(moment)}"


def local(moment: datetime | None) -> str:
    """Return date and time on this machine's clock, or `-`."""
    return "-" if moment is None else on_the_clock(on_clock_of(moment, None))


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
