"""When a task is due: pure arithmetic over crontab, anchored interval and instant, with bounds and jitter.

Instants are integer microseconds since 1970 in UTC. A due time is given back later strictly than the instant asked
from, and the three questions of `Schedule` agree with one another.
"""

import hashlib
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import TYPE_CHECKING, Final, Literal, Protocol, overload
from zoneinfo import ZoneInfo

from scheduler._arguments import check_definitions, check_whole, micros_of
from scheduler._limits import LAST_YEAR
from scheduler.calendars import OnClosed
from scheduler.models import TaskDefinition, TaskType, calendar_of
from scheduler.timing.calendar_schedules import MovedSchedule, closing_of, moves, open_only, times_of
from scheduler.timing.clock import SECOND, WallClock, to_datetime, to_micros
from scheduler.timing.closed_times import OpenTimes
from scheduler.timing.crontab import Crontab, parse_crontab
from scheduler.timing.local_matches import LocalMatches
from scheduler.timing.recurrence import Recurrence, recurrence, started_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HASH_BYTES: Final = 8
_FIRST_YEAR: Final = 1900
_CALENDAR_CYCLE: Final = timedelta(days=28 * 366)
_END_OF_TIME: Final = to_micros(datetime(9999, 12, 31, tzinfo=UTC))
"""From here on an instant is no datetime any more in some zone."""


class Schedule(Protocol):
    """The due times of a task."""

    def next_after(self, instant: int) -> int | None:
        """Return the first due time later than `instant`, or None."""
        ...

    def latest(self, not_before: int, until: int) -> int | None:
        """Return the last due time from `not_before` to `until`, both included, or None."""
        ...

    def count(self, after: int, until: int) -> int:
        """Return how many due times lie after `after` and not after `until`, without looking at each."""
        ...


@dataclass(frozen=True, slots=True)
class OnceSchedule:
    """One instant."""

    instant: int

    def next_after(self, instant: int) -> int | None:
        """See `Schedule`."""
        return self.instant if self.instant > instant else None

    def latest(self, not_before: int, until: int) -> int | None:
        """See `Schedule`."""
        return self.instant if not_before <= self.instant <= until else None

    def count(self, after: int, until: int) -> int:
        """See `Schedule`."""
        return int(after < self.instant <= until)


@dataclass(frozen=True, slots=True)
class IntervalSchedule:
    """`first` + k · `every`, without end."""

    first: int
    every: int

    def next_after(self, instant: int) -> int | None:
        """See `Schedule`."""
        return self.first + max(0, (instant - self.first) // self.every + 1) * self.every

    def latest(self, not_before: int, until: int) -> int | None:
        """See `Schedule`."""
        due = self.first + (until - self.first) // self.every * self.every
        return due if due >= max(not_before, self.first) else None

    def count(self, after: int, until: int) -> int:
        """See `Schedule`."""
        return max(0, self._up_to(until) - self._up_to(after))

    def _up_to(self, instant: int) -> int:
        return max(0, (instant - self.first) // self.every + 1)


@dataclass(frozen=True, slots=True)
class ClockSchedule:
    """The matches of a crontab expression, or of a recurrence rule, on the clock of a zone."""

    matches: LocalMatches
    zone: ZoneInfo

    def next_after(self, instant: int) -> int | None:
        """See `Schedule`."""
        due = self.matches.next_after(to_datetime(instant), self.zone)
        return None if due is None else to_micros(due)

    def latest(self, not_before: int, until: int) -> int | None:
        """See `Schedule`."""
        earliest = to_datetime(not_before)
        due = self.matches.last_at_or_before(to_datetime(until), self.zone, not_before=earliest)
        return None if due is None else to_micros(due)

    def count(self, after: int, until: int) -> int:
        """See `Schedule`."""
        return self.matches.count_between(to_datetime(after), to_datetime(until), self.zone)


@dataclass(frozen=True, slots=True)
class BoundedSchedule:
    """Another schedule from `start` to `end`, both included; None is no bound."""

    base: Schedule
    start: int | None
    end: int | None

    def next_after(self, instant: int) -> int | None:
        """See `Schedule`."""
        due = self.base.next_after(instant if self.start is None else max(instant, self.start - 1))
        return None if due is None or (self.end is not None and due > self.end) else due

    def latest(self, not_before: int, until: int) -> int | None:
        """See `Schedule`."""
        earliest = not_before if self.start is None else max(not_before, self.start)
        return self.base.latest(earliest, self._clip(until))

    def count(self, after: int, until: int) -> int:
        """See `Schedule`."""
        earliest = after if self.start is None else max(after, self.start - 1)
        return self.base.count(earliest, self._clip(until))

    def _clip(self, until: int) -> int:
        return until if self.end is None else min(until, self.end)


@dataclass(frozen=True, slots=True)
class JitteredSchedule:
    """Another schedule, each of whose due times is delayed by a share of `most` that depends on it and the task alone.

    The delay stays below the distance to the base's next due time (and to `end`), so the order never changes; and
    within what is open, or closed.
    """

    base: Schedule
    task_id: str
    most: int
    end: int | None
    times: OpenTimes | None = None

    def next_after(self, instant: int) -> int | None:
        """See `Schedule`."""
        current = self.base.latest(instant - self.most, instant)
        if current is not None and (due := self._delayed(current)) > instant:
            return due
        following = self.base.next_after(instant)
        return None if following is None else self._delayed(following)

    def latest(self, not_before: int, until: int) -> int | None:
        """See `Schedule`."""
        current = self.base.latest(not_before - self.most, until)
        if current is not None and self._delayed(current) > until:
            current = self.base.latest(not_before - self.most, current - 1)
        due = None if current is None else self._delayed(current)
        return due if due is not None and due >= not_before else None

    def count(self, after: int, until: int) -> int:
        """See `Schedule`."""
        if until <= after:
            return 0
        return self.base.count(after, until) + self._put_off_past(after) - self._put_off_past(until)

    def _put_off_past(self, instant: int) -> int:
        current = self.base.latest(instant - self.most, instant)
        return int(current is not None and self._delayed(current) > instant)

    def _delayed(self, base_due: int) -> int:
        following = self.base.next_after(base_due)
        room = self.most if following is None else min(self.most, following - base_due)
        if self.end is not None:
            room = min(room, self.end - base_due + 1)
        if self.times is not None and (change := self.times.next_change(base_due, base_due + room)) is not None:
            room = min(room, change - base_due)
        digest = hashlib.blake2b(f"{self.task_id}\0{base_due}".encode(), digest_size=_HASH_BYTES).digest()
        return base_due + (int.from_bytes(digest) * room >> 8 * _HASH_BYTES)


@dataclass(frozen=True, slots=True)
class UnservedSchedule:
    """Another schedule without the due times that have been served, which come again when the clock is set back."""

    base: Schedule
    served: tuple[int, ...]
    """Instants in rising order; they need not be due times of `base`."""

    def next_after(self, instant: int) -> int | None:
        """See `Schedule`."""
        due = self.base.next_after(instant)
        while due is not None and self._is_served(due):
            due = self.base.next_after(due)
        return due

    def latest(self, not_before: int, until: int) -> int | None:
        """See `Schedule`."""
        due = self.base.latest(not_before, until)
        while due is not None and self._is_served(due):
            due = self.base.latest(not_before, due - 1)
        return due

    def count(self, after: int, until: int) -> int:
        """See `Schedule`."""
        if until <= after:
            return 0
        inside = self.served[bisect_right(self.served, after) : bisect_right(self.served, until)]
        return self.base.count(after, until) - sum(self.base.latest(each, each) == each for each in inside)

    def _is_served(self, due: int) -> bool:
        place = bisect_left(self.served, due)
        return place < len(self.served) and self.served[place] == due


@dataclass(frozen=True, slots=True)
class DueTime:
    """A due time, and what has shaped it."""

    at: datetime
    """In the zone of the task."""
    runs: bool
    """False: it is skipped."""
    notes: tuple[str, ...] = ()
    """Sentences for people, such as "moved from Sunday 3 May, 09:00"; mostly none."""


def schedule_of(task: TaskDefinition, zone: str, anchor: int) -> Schedule:
    """Return the due times of a task.

    `zone` is the IANA zone in force for it; `anchor` is when its schedule was stored, from which an interval without
    `start_at` is counted: its first due time is one interval later.
    """
    start = None if task.start_at is None else to_micros(task.start_at)
    end = None if task.end_at is None else to_micros(task.end_at)
    schedule = _base(task, zone, anchor, start)
    if start is not None or end is not None:
        schedule = BoundedSchedule(schedule, start, end)
    calendar = calendar_of(task)
    times = None if calendar is None else times_of(calendar, zone)
    if calendar is not None and times is not None and moves(calendar):
        schedule = MovedSchedule(schedule, times, 1 if calendar.on_closed is OnClosed.NEXT_OPEN else -1)
        if start is not None or end is not None:
            schedule = BoundedSchedule(schedule, start, end)
    if task.jitter_seconds:
        schedule = JitteredSchedule(schedule, task.id, task.jitter_seconds * SECOND, end, times)
    return schedule


def folded(schedule: Schedule, due: int) -> int:
    """Return how many further due times have moved to the instant of one."""
    match schedule:
        case MovedSchedule():
            return max(0, len(schedule.sources(due)) - 1)
        case JitteredSchedule():
            nominal = schedule.base.latest(due - schedule.most, due)
            return 0 if nominal is None else folded(schedule.base, nominal)
        case BoundedSchedule() | UnservedSchedule():
            return folded(schedule.base, due)
        case _:
            return 0


def longest_gap(task: TaskDefinition) -> int | None:
    """Return the longest time between two due times of an interval task; None for other tasks."""
    if task.interval_seconds is None:
        return None
    return (task.interval_seconds + min(task.jitter_seconds or 0, task.interval_seconds)) * SECOND


def moved_anchor(task: TaskDefinition, anchor: int, now: int, wait: int | None, served: "Iterable[int]") -> int:
    """Return an anchor from which an interval is due within one interval, after `wait` microseconds if that is less.

    No due time from it falls on one from the old anchor, nor on one that was served: those do not run again.
    """
    every = (task.interval_seconds or 0) * SECOND
    moved = now - every + (every if wait is None else min(max(wait, 1), every))
    taken = {(moved - each) % every for each in (anchor, *served)}
    return moved - next(shift for shift in count() if shift not in taken)


def _base(task: TaskDefinition, zone: str, anchor: int, start: int | None) -> Schedule:
    if task.cron_expression is not None:
        return ClockSchedule(parse_crontab(task.cron_expression), ZoneInfo(zone))
    if task.interval_seconds is not None:
        every = task.interval_seconds * SECOND
        return IntervalSchedule(anchor + every if start is None else start, every)
    if task.run_at is not None:
        return OnceSchedule(to_micros(task.run_at))
    if task.rrule is not None:
        return _recurring(task, task.rrule, ZoneInfo(zone), anchor, start)
    message = f"Task {task.id}: a {task.task_type} task without its schedule"
    raise ValueError(message)


def _recurring(task: TaskDefinition, rule: str, zone: ZoneInfo, anchor: int, start: int | None) -> Schedule:
    schedule = ClockSchedule(_matches_of(task, rule, zone, anchor, start), zone)
    instants = sorted(to_micros(each) for each in task.exdates if isinstance(each, datetime))
    return UnservedSchedule(schedule, tuple(instants)) if instants else schedule


def _matches_of(task: TaskDefinition, rule: str, zone: ZoneInfo, anchor: int, start: int | None) -> Recurrence:
    """Return the matches of a rule: from `start_at` on, else from the first one after its anchor."""
    begin = to_datetime(anchor if start is None else start).astimezone(zone).replace(tzinfo=None, fold=0)
    days = frozenset(each.toordinal() for each in task.exdates if not isinstance(each, datetime))
    return started_after(rule, begin, days) if start is None else recurrence(rule, begin, days)


@overload
def next_due_times(
    task: TaskDefinition, n: int = 5, after: datetime | None = None, *, explain: Literal[False] = False
) -> list[datetime]: ...
@overload
def next_due_times(
    task: TaskDefinition, n: int = 5, after: datetime | None = None, *, explain: Literal[True]
) -> list[DueTime]: ...
def next_due_times(
    task: TaskDefinition, n: int = 5, after: datetime | None = None, *, explain: bool = False
) -> list[datetime] | list[DueTime]:
    """Return the next `n` due times of a task, as aware datetimes in its zone (UTC if it names none).

    Those at which its calendar is closed are left out. With `explain` they are there, as `DueTime`s, each with what
    has shaped it; `n` counts those that run.

    `after` is aware, None means now; due times lie strictly after it. An interval task or a rule without `start_at` is
    taken as added at `after`. Nothing is read or stored, and pauses and `max_runs` already used up are not known here.
    Raises `ValueError` if `after` is naive or out of range, or `n` is negative.
    """
    check_definitions([task])
    start = WallClock().now() if after is None else micros_of(after=after)
    if after is not None and not _FIRST_YEAR <= after.year <= LAST_YEAR:
        message = f"after={after.isoformat()}; give an instant between the years {_FIRST_YEAR} and {LAST_YEAR}"
        raise ValueError(message)
    check_whole(least=0, n=n)
    zone = task.timezone or "UTC"
    bound = n if task.max_runs is None else min(n, task.max_runs)
    schedule = schedule_of(task, zone, start)
    if explain:
        from scheduler.timing.explained import explained  # noqa: PLC0415 (it is above this module)

        return explained(schedule, closing_of(task, zone), start, bound, ZoneInfo(zone))
    due_times = islice(_due_times(open_only(task, zone, schedule), start), bound)
    return [to_datetime(due).astimezone(ZoneInfo(zone)) for due in due_times]


def shortest_interval(task: TaskDefinition, nearby: timedelta, after: datetime) -> timedelta | None:
    """Return the least time between two due times of a task after an aware instant; None: it has one due time at most.

    It is exact where it is shorter than `nearby`; jitter is left out. Of a crontab expression without an end, 28 years
    are looked at: after these, dates fall on the same days of the week again.
    """
    if is_one_time(task):
        return None
    if task.interval_seconds is not None:
        return timedelta(seconds=task.interval_seconds)
    start = after if task.start_at is None else max(after, task.start_at)
    horizon = start + _CALENDAR_CYCLE
    end = horizon if task.end_at is None else min(horizon, task.end_at)
    zone = ZoneInfo(task.timezone or "UTC")
    matches: Crontab | Recurrence
    if task.rrule is None:
        matches = parse_crontab(str(task.cron_expression))
    else:
        anchored = None if task.start_at is None else to_micros(task.start_at)
        matches = _matches_of(task, task.rrule, zone, to_micros(after), anchored)
    return matches.shortest_interval(nearby, start, max(start, end), zone)


def _due_times(schedule: Schedule, after: int) -> "Iterator[int]":
    due = schedule.next_after(after)
    while due is not None and due < _END_OF_TIME:
        yield due
        due = schedule.next_after(due)


def is_one_time(task: TaskDefinition) -> bool:
    """Tell whether a task has one due time only."""
    return task.task_type is TaskType.ONE_TIME
