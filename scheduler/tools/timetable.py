"""What the model says of when, as the schedule fields of a task."""

import re
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from scheduler._limits import LAST_YEAR
from scheduler.models import TaskType
from scheduler.phrases import names_zone, parse_schedule
from scheduler.timing.local_time import LocalTimeError, instant_of
from scheduler.tools.guards import Guards
from scheduler.tools.refusal import Refusal
from scheduler.tools.requests import ScheduleRequest

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_WAYS: Final = ("schedule", "cron", "interval_seconds", "run_at", "rrule")
_LAST_SECOND: Final = time(23, 59, 59, fold=1)
"""Of a day; where the clock shows it twice, the second time."""


def schedule_fields(asked: ScheduleRequest, guards: Guards, default_zone: str, now: datetime) -> dict[str, Any]:
    """Return the schedule fields of the task that was asked for, its end included. Raises `Refusal`."""
    given = [way for way in _WAYS if getattr(asked, way) is not None]
    if len(given) != 1:
        which = f"{' and '.join(given)} were given" if given else "none was given"
        raise Refusal(f"Not done: give exactly one of {', '.join(_WAYS)}; {which}.")
    fields = _parsed(asked, default_zone, now)
    zone = fields.setdefault("timezone", asked.timezone or default_zone)
    if fields["task_type"] is TaskType.ONE_TIME:
        if asked.until is not None or asked.max_runs is not None:
            raise Refusal(
                "Not done: until and max_runs are for recurring tasks, and this one runs once. Leave them out."
            )
        return fields
    if fields["task_type"] is TaskType.INTERVAL:
        fields["start_at"] = _next_second(now) + timedelta(seconds=fields["interval_seconds"])
    end = guards.end(_until(asked.until, zone_named(zone)), now)
    return {**fields, "end_at": end, "max_runs": asked.max_runs}


def _parsed(asked: ScheduleRequest, default_zone: str, now: datetime) -> dict[str, Any]:
    if asked.cron is not None:
        return {"task_type": TaskType.CRON, "cron_expression": asked.cron}
    if asked.interval_seconds is not None:
        return {"task_type": TaskType.INTERVAL, "interval_seconds": asked.interval_seconds}
    if asked.rrule is not None:
        return {"task_type": TaskType.RRULE, "rrule": asked.rrule}
    phrase = f"at {asked.run_at}" if asked.schedule is None else asked.schedule
    zone = asked.timezone or (None if names_zone(phrase) else default_zone)
    try:
        return parse_schedule(phrase, timezone=zone, now=now)
    except ValueError as error:
        raise Refusal(f"Not done: {error}.") from None


def _until(text: str | None, zone: ZoneInfo) -> datetime | None:
    """Return the end that was asked for: a date means its whole day, a local time is that of the zone."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Refusal(
            f"Not done: until={text[:60]!r} is no ISO 8601 date or instant. Give one such as '2027-03-15'."
        ) from None
    if moment.year > LAST_YEAR:
        raise Refusal(f"Not done: until={text[:60]!r} lies after the year {LAST_YEAR}. Give an earlier one.")
    if _DATE.fullmatch(text.strip()):
        moment = datetime.combine(moment, _LAST_SECOND)
    try:
        return moment if moment.tzinfo is not None else instant_of(moment, zone)
    except LocalTimeError as error:
        raise Refusal(f"Not done: until={error}.") from None


def zone_named(name: str) -> ZoneInfo:
    """Return the zone that the model names. Raises `Refusal`."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise Refusal(
            f"Not done: timezone={name[:60]!r}: no time zone has this name. Give one such as 'Europe/Berlin'."
        ) from None


def _next_second(now: datetime) -> datetime:
    return now if not now.microsecond else now.replace(microsecond=0) + timedelta(seconds=1)
