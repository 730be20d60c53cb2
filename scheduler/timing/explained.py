"""What has shaped a due time, in words: a change of the clock, a calendar, jitter."""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from scheduler.timing.calendar_schedules import Closing, MovedSchedule
from scheduler.timing.clock import SECOND, to_datetime
from scheduler.timing.schedule import (
    BoundedSchedule,
    ClockSchedule,
    DueTime,
    JitteredSchedule,
    Schedule,
    UnservedSchedule,
)

_MOST_NAMED: Final = 3
"""So many due times that became one are named."""
_MOST_SKIPPED: Final = 100
"""So many closed spans are listed at most between due times that run."""


def explained(schedule: Schedule, closing: Closing | None, after: int, number: int, zone: ZoneInfo) -> list[DueTime]:
    """Return the due times after an instant, of which `number` run, each with what has shaped it.

    Due times that one closed day or hour skips are one entry.
    """
    found: list[DueTime] = []
    running = skipped = 0
    due = schedule.next_after(after)
    while due is not None and running < number and skipped < _MOST_SKIPPED:
        closed = None if closing is None else closing.times.closed_at(due)
        if closed is None:
            found.append(DueTime(_local(due, zone), runs=True, notes=tuple(_notes(schedule, due, zone))))
            running, skipped, last = running + 1, 0, due
        else:
            others = schedule.count(due, closed.until - 1)
            more = f", and {others:,} more due times until {_when(closed.until, zone)}" if others else ""
            found.append(DueTime(_local(due, zone), runs=False, notes=(f"skipped: {closed.reason}{more}",)))
            skipped, last = skipped + 1, closed.until - 1
        due = schedule.next_after(last)
    return found


def _notes(schedule: Schedule, due: int, zone: ZoneInfo) -> list[str]:
    """Return what each layer of a schedule did to a due time."""
    match schedule:
        case BoundedSchedule() | UnservedSchedule():
            return _notes(schedule.base, due, zone)
        case JitteredSchedule():
            nominal = schedule.base.latest(due - schedule.most, due)
            if nominal is None:
                return []
            return [*_notes(schedule.base, nominal, zone), f"{(due - nominal) / SECOND:.0f} s later: jitter"]
        case MovedSchedule():
            return [*_moved(schedule, due, zone), *_notes(schedule.base, due, zone)]
        case ClockSchedule():
            return _shown_by_clock(schedule, due)
        case _:
            return []


def _moved(schedule: MovedSchedule, due: int, zone: ZoneInfo) -> list[str]:
    moved = [each for each in schedule.sources(due) if each != due]
    notes = []
    for each in moved[:_MOST_NAMED]:
        closed = schedule.times.closed_at(each)
        notes.append(f"moved from {_when(each, zone)}{'' if closed is None else f' ({closed.reason})'}")
    if len(moved) > _MOST_NAMED:
        notes.append(f"moved from {len(moved) - _MOST_NAMED:,} more due times")
    return notes


def _shown_by_clock(schedule: ClockSchedule, due: int) -> list[str]:
    """Say where the clock was changed."""
    moment = to_datetime(due)
    local = moment.astimezone(schedule.zone)
    missing = schedule.matches.swallowed_at(moment.replace(tzinfo=None), schedule.zone)
    if missing is not None:
        return [f"{missing:%H:%M} does not exist on this day: runs at {local:%H:%M}"]
    other = local.replace(fold=1 - local.fold).astimezone(UTC)
    if other != moment and other.astimezone(schedule.zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return [f"the {'second' if local.fold else 'first'} of two {local:%H:%M}s"]
    return []


def _when(instant: int, zone: ZoneInfo) -> str:
    local = _local(instant, zone)
    return f"{local:%A} {local.day} {local:%B}, {local:%H:%M}"


def _local(instant: int, zone: ZoneInfo) -> datetime:
    return to_datetime(instant).astimezone(zone)
