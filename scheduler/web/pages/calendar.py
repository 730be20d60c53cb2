"""A week by day and hour: what ran, what went wrong, and what will be due."""

import time
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from scheduler import TaskDefinition, TaskScheduler, next_due_times
from scheduler.models import TaskType
from scheduler.shapes import due_times
from scheduler.timing.local_time import on_clock_of
from scheduler.views import TaskView
from scheduler.web.lookup import BAD_STATUSES, find_runs, next_tasks
from scheduler.web.task_form import mark_of
from scheduler.web.timeline import due_before
from scheduler.web.visit import Page, Refused, Visit

_DAYS: Final = 7
_MOST_RUNS: Final = 2_000
_MOST_TASKS: Final = 300
_MOST_DUE: Final = 400
"""So many due times of a task are counted in a week."""
_LISTED: Final = 40
_BUDGET_SECONDS: Final = 0.15
"""So long due times are computed for one page; what was computed is kept for the next one."""
_MOST_KEPT: Final = 2_000
_LEVELS: Final = (1, 3, 10, 30)
"""From so many due times or runs on, an hour has the next darker shade."""


@dataclass(frozen=True, slots=True)
class Hour:
    """What is in an hour of a day."""

    runs: int
    bad: int
    due: int

    @property
    def level(self) -> int:
        """How dark it is, from 0 to 4."""
        return sum(1 for least in _LEVELS if self.runs + self.due >= least)

    @property
    def words(self) -> str:
        """What is in it, in words; empty if nothing is."""
        parts = [(self.runs, "runs"), (self.bad, "went wrong"), (self.due, "due")]
        return ", ".join(f"{number} {what}" for number, what in parts if number)


_kept: dict[Hashable, Sequence[datetime]] = {}
"""Due times by definition, first due time and week: the same in each process, so one table is enough."""


def calendar(scheduler: TaskScheduler, visit: Visit) -> Page:
    """Return seven days from one on: by default from today on."""
    first = _day_in(visit)
    try:
        start, end = (_midnight(first + timedelta(days=days), visit.zone) for days in (0, _DAYS))
        earlier, later = first - timedelta(days=_DAYS), first + timedelta(days=_DAYS)
    except OverflowError:
        raise Refused(400, "This day lies at an end of the calendar.") from None
    page = find_runs(scheduler, visit, _MOST_RUNS, before=None, since=start, until=min(end, visit.now))
    due, number, is_whole = _due(scheduler, visit, max(start, visit.now), end)
    listed = sorted(due, key=lambda pair: pair[0])[:_LISTED]

    def shape() -> dict[str, Any]:
        times = [{"at": moment.isoformat(), "task_id": task.id} for moment, task in listed]
        return {"from": start.isoformat(), "until": end.isoformat(), "due": times, "due_number": len(due)}

    ran = Counter(_cell(run.scheduled_at, visit.zone) for run in page.runs)
    bad = Counter(_cell(run.scheduled_at, visit.zone) for run in page.runs if run.status in BAD_STATUSES)
    coming = Counter(_cell(moment, visit.zone) for moment, _ in due)
    days = [first + timedelta(days=number) for number in range(_DAYS)]
    values = {
        "days": [(day, [_hour((day, hour), ran, bad, coming) for hour in range(24)]) for day in days],
        "listed": listed,
        "due_number": len(due),
        "earlier": earlier.isoformat(),
        "later": later.isoformat(),
        "is_today": first == on_clock_of(visit.now, visit.zone).date(),
        "runs_are_cut": page.older is not None,
        "most_runs": _MOST_RUNS,
        "task_number": None if is_whole else number,
    }
    return Page("calendar.html", "Calendar", values, shape)


def _day_in(visit: Visit) -> date:
    given = visit.given("from")
    if given is None:
        return on_clock_of(visit.now, visit.zone).date()
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise Refused(400, "from is a day, such as 2027-03-15.") from None


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _cell(moment: datetime, zone: ZoneInfo) -> tuple[date, int]:
    local = on_clock_of(moment, zone)
    return local.date(), local.hour


def _hour(cell: tuple[date, int], ran: Counter[Any], bad: Counter[Any], due: Counter[Any]) -> Hour:
    return Hour(ran[cell], bad[cell], due[cell])


def _due(
    scheduler: TaskScheduler, visit: Visit, start: datetime, end: datetime
) -> tuple[list[tuple[datetime, TaskView]], int, bool]:
    """Return due times with their tasks, the number of tasks that were looked at, and whether these are all."""
    found: list[tuple[datetime, TaskView]] = []
    if end <= start:
        return found, 0, True
    began = time.monotonic()
    tasks = next_tasks(scheduler, visit, _MOST_TASKS)
    for number, task in enumerate(tasks):
        if time.monotonic() - began > _BUDGET_SECONDS:
            return found, number, False
        found += [(moment, task) for moment in _due_of(task, start, end)]
    return found, len(tasks), len(tasks) < _MOST_TASKS


def _due_of(task: TaskView, start: datetime, end: datetime) -> Sequence[datetime]:
    if task.definition is None or task.next_due is None or task.next_due >= end:
        return ()
    # Within an hour nothing is computed again; what has passed meanwhile is left out below.
    key = mark_of(task.definition), task.timezone, task.next_due, start.replace(minute=0, second=0, microsecond=0), end
    if key not in _kept:
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[key] = _computed(task, task.definition, task.next_due, start, end)
    return [moment for moment in _kept[key] if start <= moment]


def _computed(
    task: TaskView, definition: TaskDefinition, first: datetime, start: datetime, end: datetime
) -> list[datetime]:
    return due_before(lambda number: _next(task, definition, first, start, number), end, _MOST_DUE)


def _next(task: TaskView, definition: TaskDefinition, first: datetime, start: datetime, number: int) -> list[datetime]:
    if start <= first:
        return due_times(task, number)
    is_interval = definition.task_type is TaskType.INTERVAL and definition.start_at is None
    change = {"start_at": first} if is_interval else {"timezone": task.timezone}
    return next_due_times(definition.model_copy(update=change), number, start.astimezone(UTC))
