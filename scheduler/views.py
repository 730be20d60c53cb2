"""What is shown of a task, with types: on the command line, to agents, and as the dicts of `list_tasks()`."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, assert_never
from zoneinfo import ZoneInfo

from scheduler.models import RunStatus, TaskDefinition
from scheduler.store import Listed
from scheduler.timing.clock import to_datetime
from scheduler.timing.local_time import on_clock_of


class TaskState(StrEnum):
    """What a task is doing."""

    #: It has a next due time.
    SCHEDULED = "scheduled"
    #: Its due times are not due until it is resumed.
    PAUSED = "paused"
    #: Its last run is running.
    RUNNING = "running"
    #: Its last run waits: for its turn, for a retry, or for a human.
    WAITING = "waiting"
    #: It has no due time left, or was removed.
    FINISHED = "finished"
    #: It cannot run; `problem` says why.
    UNUSABLE = "unusable"


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
    """Return the view of a task that is not finished."""
    task, state = listed.definition, _state_of(listed)
    due = listed.next_due if state is TaskState.SCHEDULED else None
    return TaskView(
        id=listed.id,
        name=listed.id if task is None else task.name,
        state=state,
        next_due=_in_zone(due, listed.zone),
        pause_reason=listed.pause_reason,
        problem=listed.trouble,
        timezone=listed.zone,
        definition=task,
        paused_since=_in_zone(listed.paused_at, listed.zone),
        paused_until=_in_zone(listed.pause_until, listed.zone),
    )


def _in_zone(moment: int | None, zone: str) -> datetime | None:
    return None if moment is None else on_clock_of(to_datetime(moment), ZoneInfo(zone))


def finished_view(task: TaskDefinition) -> TaskView:
    """Return the view of a task that is finished, and so not listed any more."""
    return TaskView(task.id, task.name, TaskState.FINISHED, None, None, None, task.timezone, task)


def _state_of(listed: Listed) -> TaskState:
    if listed.is_unusable:
        return TaskState.UNUSABLE
    if listed.paused:
        return TaskState.PAUSED
    if listed.next_due is not None:
        return TaskState.SCHEDULED
    return TaskState.RUNNING if listed.open_status is RunStatus.RUNNING else TaskState.WAITING
