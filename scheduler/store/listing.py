"""What a listing shows of tasks that are not finished."""

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.models import RunStatus, TaskDefinition
from scheduler.store import tasks, unloadable
from scheduler.store.database.statements import Connection
from scheduler.store.reading import Unreadable, read
from scheduler.store.rows import TaskRow
from scheduler.store.tasks import ListedRow
from scheduler.store.unloadable import LeftBy


@dataclass(slots=True)
class Listed:
    """A task that is not finished, as a listing shows it; not frozen, because that takes three times as long."""

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


def list_tasks(connection: Connection, now: int | None) -> list[Listed]:
    """Return the tasks that are not finished, by next due time; without `now`, nothing is said of other schedulers."""
    rows = tasks.unfinished(connection)
    open_runs = tasks.open_statuses(connection, [row.id for row in rows if row.next_due is None])
    left_by = {} if now is None else unloadable.left_by(connection, now)
    return [_listed(row, open_runs.get(row.id), left_by) for row in rows]


def find_task(connection: Connection, task_id: str) -> Listed | None:
    """Return one task that is not finished, or None."""
    row = tasks.find(connection, task_id)
    return None if row is None else _listed(row, None, {})


def _listed(row: ListedRow | TaskRow, open_status: str | None, left_by: Mapping[str, LeftBy]) -> Listed:
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
    )
