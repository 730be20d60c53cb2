"""Due times under a calendar: those that are open, and those that move to where it is open."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from scheduler.calendars import Calendar, OnClosed
from scheduler.models import TaskDefinition, calendar_of
from scheduler.timing.closed_times import OpenTimes, open_times

if TYPE_CHECKING:
    from scheduler.timing.schedule import Schedule

_ONE_DAY: Final = timedelta(days=1)
_SEARCHED: Final = 10 * 366 * 86_400_000_000
"""How far an open due time is looked for, in microseconds: ten years."""


def times_of(calendar: Calendar, zone: str) -> OpenTimes:
    """Return what a calendar leaves open, on the clock of its own zone, else of `zone`.

    Raises `ValueError` for a calendar that is only a name.
    """
    if calendar.is_only_a_name:
        hint = f"give the Calendar itself, or TaskScheduler(calendars={{{calendar.name!r}: …}})"
        message = f"calendar={calendar.name!r} is not known here; {hint}"
        raise ValueError(message)
    quiet = tuple(calendar.quiet_hours.items())
    return open_times(calendar.holidays, calendar.closed, quiet, calendar.zone or zone)


def moves(calendar: Calendar | None) -> bool:
    """Tell whether due times at which a calendar is closed move."""
    return calendar is not None and calendar.on_closed is not OnClosed.SKIP


@dataclass(frozen=True, slots=True)
class Closing:
    """When due times of a task are skipped, and what the history says then."""

    times: OpenTimes
    calendar: str

    def reason(self, due: int) -> str | None:
        """Return why a due time is skipped; None: it is open."""
        closed = self.times.closed_at(due)
        return None if closed is None else f"closed: {closed.reason} (calendar={self.calendar})"


def closing_of(task: TaskDefinition, zone: str) -> Closing | None:
    """Return when due times of a task are skipped; None: never."""
    calendar = calendar_of(task)
    if calendar is None or calendar.on_closed is not OnClosed.SKIP:
        return None
    return Closing(times_of(calendar, zone), str(calendar))


def open_only(task: TaskDefinition, zone: str, schedule: "Schedule") -> "Schedule":
    """Return a schedule of a task without the due times that are skipped."""
    closing = closing_of(task, zone)
    return schedule if closing is None else OpenSchedule(schedule, closing.times)


@dataclass(frozen=True, slots=True)
class OpenSchedule:
    """Another schedule without the due times that are closed."""

    base: "Schedule"
    times: OpenTimes

    def next_after(self, instant: int) -> int | None:
        """See `Schedule`. None also if ten years have no open due time."""
        due = self.base.next_after(instant)
        while due is not None and due < instant + _SEARCHED:
            closed = self.times.closed_at(due)
            if closed is None:
                return due
            due = self.base.next_after(closed.until - 1)
        return None

    def latest(self, not_before: int, until: int) -> int | None:
        """See `Schedule`."""
        due = self.base.latest(not_before, until)
        while due is not None:
            closed = self.times.closed_at(due)
            if closed is None:
                return due
            due = self.base.latest(not_before, closed.since - 1) if closed.since > not_before else None
        return None

    def count(self, after: int, until: int) -> int:
        """See `Schedule`."""
        return self.base.count(after, until) - sum(self._counts(after, until))

    def latest_closed(self, not_before: int, until: int) -> int | None:
        """Return the last due time of the base from `not_before` to `until` that is closed."""
        for since, end in reversed(list(self.times.spans(not_before - 1, until))):
            due = self.base.latest(max(not_before, since), min(until, end - 1))
            if due is not None:
                return due
        return None

    def _counts(self, after: int, until: int) -> Iterator[int]:
        """Yield how many due times each closed span has."""
        for since, end in self.times.spans(after, until):
            yield self.base.count(max(after, since - 1), min(until, end - 1))


@dataclass(frozen=True, slots=True)
class MovedSchedule:
    """Another schedule, whose closed due times move to an open instant; several may become one there.

    A day receives what is due on it, and what moves to it from the closed days and quiet hours beside it. The cost
    grows with the due times of these days.
    """

    base: "Schedule"
    times: OpenTimes
    step: int
    """1: to a later day; -1: to an earlier one."""
    _days: dict[date, dict[int, list[int]]] = field(default_factory=dict, compare=False)

    def next_after(self, instant: int) -> int | None:
        """See `Schedule`."""
        day: date | None = self.times.day_of(instant)
        while day is not None:
            for due in self._on(day):
                if due > instant:
                    return due
            day = self._following(day)
        return None

    def latest(self, not_before: int, until: int) -> int | None:
        """See `Schedule`."""
        day: date | None = self.times.day_of(until)
        while day is not None and self.times.begin_of(day + _ONE_DAY) > not_before:
            found = [due for due in self._on(day) if due <= until]
            if found:
                return found[-1] if found[-1] >= not_before else None
            day = self._preceding(day, not_before)
        return None

    def count(self, after: int, until: int) -> int:
        """See `Schedule`; each day that has a due time is looked at."""
        total = 0
        day: date | None = self.times.day_of(after)
        while day is not None and until > after and self.times.begin_of(day) <= until:
            total += sum(after < due <= until for due in self._on(day))
            day = self._following(day)
        return total

    def sources(self, due: int) -> list[int]:
        """Return the due times of the base that an instant stands for, in order; none if it is no due time."""
        return self._on(self.times.day_of(due)).get(due, [])

    def _on(self, day: date) -> dict[int, list[int]]:
        """Return the due times of a day in order, each with those of the base that it stands for."""
        if day not in self._days:
            begin, end = self._reach(day)
            found: dict[int, list[int]] = {}
            for source in self._between(begin, end):
                due = self.times.moved(source, self.step)
                if due is not None and self.times.day_of(due) == day:
                    found.setdefault(due, []).append(source)
            self._days[day] = dict(sorted(found.items()))
        return self._days[day]

    def _reach(self, day: date) -> tuple[int, int]:
        """Return from when until when due times of the base may move to a day, its own included.

        What is last on a day moves furthest to later days, and what is first on it furthest to earlier ones.
        """
        begin, end = self.times.begin_of(day), self.times.begin_of(day + _ONE_DAY)
        if self.step > 0:
            while (target := self._target(begin - 1)) is not None and target >= day:
                begin = self.times.begin_of(self.times.day_of(begin - 1))
        else:
            while (target := self._target(end)) is not None and target <= day:
                end = self.times.begin_of(self.times.day_of(end) + _ONE_DAY)
        return begin, end

    def _target(self, source: int) -> date | None:
        """Return the day to which an instant moves."""
        due = self.times.moved(source, self.step)
        return None if due is None else self.times.day_of(due)

    def _between(self, begin: int, end: int) -> Iterator[int]:
        due = self.base.next_after(begin - 1)
        while due is not None and due < end:
            yield due
            due = self.base.next_after(due)

    def _following(self, day: date) -> date | None:
        """Return the next later day that has a due time; None: there is none."""
        source = self.base.next_after(self._reach(day)[0] - 1)
        while source is not None and (target := self._target(source)) is not None:
            if target > day:
                return self._nearer(day, target, source)
            source = self.base.next_after(source)
        return None

    def _preceding(self, day: date, not_before: int) -> date | None:
        """Return the last earlier day that has a due time; None: there is none in reach of `not_before`."""
        earliest = self._reach(self.times.day_of(not_before))[0]
        source = self.base.latest(earliest, self._reach(day)[1] - 1)
        while source is not None and (target := self._target(source)) is not None:
            if target < day:
                return self._nearer(day, target, source)
            source = self.base.latest(earliest, source - 1) if source > earliest else None
        return None

    def _nearer(self, day: date, target: date, source: int) -> date:
        """Return the day between `day` and `target` that has a due time and is nearest to `day`; else `target`.

        `source` moves to `target`. Only what comes behind it, seen from `day`, can move to a day between.
        """
        nearest, step = target, _ONE_DAY if target < day else -_ONE_DAY
        between = target + step
        while between != day:
            begin, end = self._reach(between)
            if source >= end if step < timedelta() else source < begin:
                break
            if self._on(between):
                nearest = between
            between += step
        return nearest
