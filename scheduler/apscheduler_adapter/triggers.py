"""TaskDefinition → a trigger: APScheduler's view of a schedule."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger

from scheduler.models import TaskDefinition
from scheduler.timing.clock import to_datetime, to_micros
from scheduler.timing.schedule import Schedule

_TICK = timedelta(microseconds=1)


class TaskTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """The due times of a task, in its zone."""

    def __init__(self, task: TaskDefinition, schedule: Schedule, zone: str) -> None:
        """Take the task for its words, and its schedule for the due times."""
        self._task = task
        self._schedule = schedule
        self._zone = ZoneInfo(zone)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the first due time after the previous one, or after now."""
        due = self._schedule.next_after(to_micros(now if previous_fire_time is None else previous_fire_time))
        return None if due is None else to_datetime(due).astimezone(self._zone)

    def __str__(self) -> str:
        """Return the schedule as it was written."""
        task = self._task
        if task.cron_expression is not None:
            return f"cron[{task.cron_expression} ({self._zone.key})]"
        if task.rrule is not None:
            return f"rrule[{task.rrule} ({self._zone.key})]"
        if task.interval_seconds is not None:
            return f"interval[{timedelta(seconds=task.interval_seconds)}]"
        return f"date[{task.run_at}]"


class ClaimedTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """What `_process_jobs` asks of a due time that the store has claimed already: one firing, and what comes next.

    What comes next is stored already, and may have passed; it is moved behind `now` so that nothing is enumerated.
    """

    def __init__(self, next_due: int | None) -> None:
        """Take the due time that the claim has stored."""
        self._next_due = None if next_due is None else to_datetime(next_due)

    def get_next_fire_time(self, _previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """Return the stored due time, or a moment later than now in its place."""
        return None if self._next_due is None else max(self._next_due, now + _TICK)
