"""What is shown of a task, with types: on the command line, to agents, and as the dicts of `list_tasks()`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never
from zoneinfo import ZoneInfo

from scheduler.errors import InvalidTaskError
from scheduler.models import TaskDefinition, calendar_of
from scheduler.store import Listed, TaskState
from scheduler.timing.calendar_schedules import closing_of, open_only, times_of
from scheduler.timing.clock import to_datetime
from scheduler.timing.local_time import on_clock_of
from scheduler.timing.schedule import schedule_of

__all__ = ["TaskState", "TaskView", "view_of"]


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as people see it."""

    id: str
    name: str
    state: TaskState
    next_due: datetime | None
    """The next due time in the task's zone, while the task is scheduled."""
    pause_reason: str | None
    problem: str | None
    """Why it cannot run, or cannot be loaded by some of the schedulers."""
    timezone: str | None
    """The zone in force; None for a finished task that names none."""
    definition: TaskDefinition | None
    """None if the stored one cannot be read in this process."""
    paused_since: datetime | None = None
    """Since when it is paused, in its zone; None also if an earlier release has paused it."""
    paused_until: datetime | None = None
    """When it resumes by itself, in its zone; None: when somebody resumes it."""
    source: str | None = None
    """What brought it, such as the path of a file; None: a program or a person, by hand."""
    finished_at: datetime | None = None
    """When it has finished, in its zone."""
    finish_reason: str | None = None
    """Why it has finished: what its definition says of its end."""

    @property
    def next_run(self) -> str:
        """`next_due` as a text, or else why there is none."""
        match self.state:
            case TaskState.SCHEDULED:
                return str(self.next_due)
            case TaskState.UNUSABLE:
                return f"error: {self.problem}"
            case TaskState.PAUSED | TaskState.RUNNING | TaskState.WAITING | TaskState.FINISHED:
                return str(self.state)
            case _:
                assert_never(self.state)

    def as_dict(self) -> dict[str, Any]:
        """Return the dict that `list_tasks()` has for this task."""
        return {
            "id": self.id,
            "name": self.name,
            "next_run": self.next_run,
            "pause_reason": self.pause_reason,
            "problem": self.problem,
            "timezone": self.timezone,
            "definition": self.definition,
        }


def view_of(listed: Listed) -> TaskView:
    """Return the view of a task."""
    task, state = listed.definition, listed.state
    due = listed.next_due if state is TaskState.SCHEDULED else None
    return TaskView(
        id=listed.id,
        name=listed.id if task is None else task.name,
        state=state,
        next_due=_in_zone(_first_open(due, listed), listed.zone),
        pause_reason=listed.pause_reason,
        problem=listed.trouble,
        timezone=listed.zone,
        definition=task,
        paused_since=_in_zone(listed.paused_at, listed.zone),
        paused_until=_in_zone(listed.pause_until, listed.zone),
        source=listed.source,
        finished_at=_in_zone(listed.finished_at, listed.zone),
        finish_reason=_why_finished(listed),
    )


def _first_open(due: int | None, listed: Listed) -> int | None:
    """Return the first due time from one on at which the task's calendar is open; if there is none, that one."""
    task = listed.definition
    if due is None or task is None or task.calendar is None or closing_of(task, listed.zone) is None:
        return due
    schedule = schedule_of(task, listed.zone, listed.anchor)
    return open_only(task, listed.zone, schedule).next_after(due - 1) or due


def refuse_closed(view: TaskView, now: int) -> None:
    """Raise `InvalidTaskError` if the calendar of a task is closed at an instant."""
    task = view.definition
    calendar = None if task is None else calendar_of(task)
    if calendar is None:
        return
    times = times_of(calendar, view.timezone or "UTC")
    closed = times.closed_at(now)
    if closed is None:
        return
    opens = times.moved(closed.until, 1)
    when = "" if opens is None else f"; it is open again at {_in_zone(opens, str(times.zone))}"
    problem = f"its calendar ({calendar}) is closed now: {closed.reason}{when}"
    raise InvalidTaskError(view.id, problem, "wait, or run it without regard to the calendar", field="calendar")


def _why_finished(listed: Listed) -> str | None:
    task = listed.definition
    if listed.finished_at is None or task is None:
        return None
    if task.run_at is not None:
        return f"run_at={task.run_at.isoformat()} has passed"
    if task.max_runs is not None and listed.started_runs >= task.max_runs:
        return f"max_runs={task.max_runs} was reached"
    if task.end_at is not None:
        return f"no due time was left before end_at={task.end_at.isoformat()}"
    return "its schedule does not come again"


def _in_zone(moment: int | None, zone: str) -> datetime | None:
    """Return an instant in a zone; in UTC where this machine does not know it."""
    if moment is None:
        return None
    try:
        return on_clock_of(to_datetime(moment), ZoneInfo(zone))
    except (ValueError, LookupError, OSError):
        return to_datetime(moment)
