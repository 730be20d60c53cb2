"""How often an owner's tasks are due: in the hour that comes, and in the busiest hour of their lives."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from scheduler.models import TaskDefinition
from scheduler.timing.clock import SECOND, to_datetime, to_micros
from scheduler.timing.crontab import parse_crontab
from scheduler.timing.rule_parser import parse_rule
from scheduler.timing.schedule import Schedule, schedule_of

_HOUR: Final = 3600 * SECOND
_DAY: Final = 24 * _HOUR
_MINUTES_OF_DAY: Final = 24 * 60
_AHEAD: Final = timedelta(days=366)
"""How far ahead the busiest hour is looked for, where tasks end later or never."""


class BusiestHour(NamedTuple):
    """The hour of the clock, in UTC, in which most due times lie, as far as they were counted."""

    begin: datetime | None
    due_times: int


@dataclass(frozen=True, slots=True)
class _Task:
    schedule: Schedule
    most: int
    """How many due times it has at most (`max_runs`), or very many."""
    most_in_an_hour: int
    zone: ZoneInfo | None
    """The zone whose clock decides, for a crontab expression: it has the same times of day whenever it is due."""

    def due(self, begin: int, end: int) -> int:
        """Return how many due times lie from one instant up to, not including, another one."""
        return min(self.schedule.count(begin - 1, end - 1), self.most)


def runs_in_next_hour(task: TaskDefinition, now: datetime) -> int:
    """Return how often a task is due within the next hour."""
    start = to_micros(now)
    due = schedule_of(task, task.timezone or "UTC", start).count(start, start + _HOUR)
    return due if task.max_runs is None else min(due, task.max_runs)


def busiest_hour(tasks: Iterable[TaskDefinition], now: datetime, enough: int) -> BusiestHour:
    """Return the hour from now on in which most due times of tasks lie, or the first one with more than `enough`.

    A year ahead is looked at. Hours are those of the clock in UTC.
    """
    counted = [_counted(task, now) for task in tasks]
    most = sum(task.most_in_an_hour for task in counted)
    if most <= enough:
        return BusiestHour(None, most)
    found = BusiestHour(None, 0)
    seen: set[Hashable] = set()
    begin, end = to_micros(now) // _DAY * _DAY, to_micros(now + _AHEAD)
    for day in range(begin, end, _DAY):
        due = [task for task in counted if task.due(day, day + _DAY)]
        if sum(task.most_in_an_hour for task in due) <= enough or (kind := _kind_of_day(due, day)) in seen:
            continue
        found = max(found, _busiest_of_day(due, day, enough), key=lambda hour: hour.due_times)
        if found.due_times > enough:
            break
        if kind is not None:
            seen.add(kind)
    return found


def _kind_of_day(due: Sequence[_Task], day: int) -> Hashable:
    """Return what days on which tasks come at the same times have in common; None if there may be no other.

    A day in UTC holds parts of two days of a zone, either of which a crontab expression may match: the first due time
    and the number of due times tell which.
    """
    if any(task.zone is None or task.most <= _MINUTES_OF_DAY for task in due):
        return None
    ends = (to_datetime(day), to_datetime(day + _DAY))
    return tuple(
        (
            id(task),
            (task.schedule.next_after(day - 1) or day) - day,
            task.due(day, day + _DAY),
            *(moment.astimezone(task.zone).utcoffset() for moment in ends),
        )
        for task in due
    )


def _busiest_of_day(tasks: Sequence[_Task], day: int, enough: int) -> BusiestHour:
    best = BusiestHour(None, 0)
    for hour in range(day, day + _DAY, _HOUR):
        due_times = sum(task.due(hour, hour + _HOUR) for task in tasks)
        if due_times > best.due_times:
            best = BusiestHour(to_datetime(hour), due_times)
        if due_times > enough:
            break
    return best


def _counted(task: TaskDefinition, now: datetime) -> _Task:
    start = to_micros(now)
    schedule = schedule_of(task, task.timezone or "UTC", start)
    most = 2**63 if task.max_runs is None else task.max_runs
    if task.run_at is not None:
        in_an_hour = 1
    elif task.interval_seconds is not None:
        in_an_hour = -(-3600 // task.interval_seconds)
    elif task.rrule is not None:
        in_an_hour = 2 * parse_rule(task.rrule).times_in_hour()
    else:  # twice, where the clock is changed
        in_an_hour = 2 * parse_crontab(str(task.cron_expression)).most_in_an_hour
    zone = None if task.cron_expression is None and task.rrule is None else ZoneInfo(task.timezone or "UTC")
    return _Task(schedule, most, min(in_an_hour, most), zone)
