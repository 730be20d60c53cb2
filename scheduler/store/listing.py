"""What a listing shows of tasks, and what they are doing."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from scheduler.models import RunStatus, TaskDefinition
from scheduler.store import tasks, unloadable
from scheduler.store.database.statements import Connection
from scheduler.store.reading import Unreadable, read
from scheduler.store.rows import TaskRow
from scheduler.store.tasks import ListedRow
from scheduler.store.unloadable import LeftBy


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


@dataclass(slots=True)
class Listed:
    """A task as a listing shows it; not frozen, because that takes three times as long."""

    id: str
    definition: TaskDefinition | None
    zone: str
    anchor: int
    next_due: int | None
    paused: bool
    pause_reason: str | None
    problem: str | None
    """Why it is quarantined."""
    unreadable: Unreadable | None
    """Why its definition cannot be used in this process."""
    left_by: LeftBy | None
    """Which schedulers cannot load it."""
    open_status: RunStatus | None
    """The status of its open run, where there is one and no due time is to come."""
    paused_at: int | None = None
    """Since when it is paused; None: it is not, or an earlier release has paused it."""
    pause_until: int | None = None
    """When it resumes by itself."""
    source: str | None = None
    """What brought it, such as a file."""
    finished_at: int | None = None
    """When it has finished; None: it has not."""
    started_runs: int = 0
    """How many scheduled runs it has had."""

    @property
    def state(self) -> TaskState:
        """What it is doing."""
        if self.finished_at is not None:
            return TaskState.FINISHED
        if self.is_unusable:
            return TaskState.UNUSABLE
        if self.paused:
            return TaskState.PAUSED
        if self.next_due is not None:
            return TaskState.SCHEDULED
        return TaskState.RUNNING if self.open_status is RunStatus.RUNNING else TaskState.WAITING

    @property
    def is_unusable(self) -> bool:
        """Whether it cannot run: nobody can, this process cannot read it, or no scheduler that runs can load it."""
        is_left = self.left_by is not None and self.left_by.number >= self.left_by.schedulers
        return self.problem is not None or self.unreadable is not None or is_left

    @property
    def trouble(self) -> str | None:
        """What is in its way, as a person reads it; None: nothing is."""
        if self.problem is not None:
            return self.problem
        if self.unreadable is not None:
            what = "the stored definition cannot be used" if self.unreadable.is_damaged else "cannot be loaded here"
            return f"{what}: {self.unreadable.problem}"
        left = self.left_by
        if left is None:
            return None
        share = "" if self.is_unusable else f" (in {left.number} of {left.schedulers} schedulers)"
        return f"cannot be loaded here: {left.problem}{share}"


def list_tasks(connection: Connection, now: int | None, limit: int | None = None) -> list[Listed]:
    """Return the tasks that are not finished, by next due time; without `now`, nothing is said of other schedulers."""
    rows = tasks.unfinished(connection, limit)
    open_runs = tasks.open_statuses(connection, [row.id for row in rows if row.next_due is None])
    left_by = {} if now is None else unloadable.left_by(connection, now)
    return [listed_task(row, open_runs.get(row.id), left_by) for row in rows]


def view_task(connection: Connection, task_id: str, now: int) -> Listed:
    """Return one task, finished or not. Raises `TaskNotFoundError`."""
    row = tasks.present(connection, task_id)
    status = tasks.open_statuses(connection, [row.id]).get(row.id) if row.next_due is None else None
    return listed_task(row, status, unloadable.left_by(connection, now))


def find_task(connection: Connection, task_id: str) -> Listed | None:
    """Return one task that is not finished, or None."""
    row = tasks.find(connection, task_id)
    return None if row is None else listed_task(row, None, {})


def listed_task(row: ListedRow | TaskRow, open_status: str | None, left_by: Mapping[str, LeftBy]) -> Listed:
    """Return what a listing shows of a row; `left_by` says which tasks some schedulers cannot load."""
    found = read(row.definition, row.zone)
    return Listed(
        id=row.id,
        definition=None if isinstance(found, Unreadable) else found,
        zone=row.zone,
        anchor=row.anchor,
        next_due=row.next_due,
        paused=bool(row.paused),
        pause_reason=row.pause_reason,
        problem=row.problem,
        unreadable=found if isinstance(found, Unreadable) else None,
        left_by=left_by.get(row.id),
        open_status=None if open_status is None else RunStatus(open_status),
        paused_at=row.paused_at,
        pause_until=row.pause_until,
        source=row.source,
        finished_at=row.finished_at,
        started_runs=row.started_runs,
    )
