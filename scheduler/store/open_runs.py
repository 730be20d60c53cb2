"""Which tasks have open runs: as stored, and as a pass changes it."""

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import bindparam, func, select

from scheduler.models import RunStatus, RunTrigger
from scheduler.store.database.statements import Connection, Query
from scheduler.store.schema import is_open, runs


class _OpenRuns(NamedTuple):
    task_id: str
    status: str
    attempt: int
    trigger: str
    number: int


class OpenRuns:
    """What overlap policies ask of the tasks that one pass meets."""

    def __init__(self, connection: Connection) -> None:
        """Take the transaction."""
        self._connection = connection
        self._busy: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._started: set[str] = set()

    def look_at(self, task_ids: Sequence[str]) -> None:
        """Read what is stored of tasks, before this pass starts any run of theirs."""
        for row in self._connection.execute(_OPEN_RUNS, {"ids": task_ids}):
            if row.trigger == RunTrigger.BACKFILL:
                continue  # overlap policies are not for it
            if row.status != RunStatus.PENDING or row.attempt > 0:
                self._busy.add(row.task_id)
            elif row.trigger == RunTrigger.SCHEDULE:
                self._waiting[row.task_id] += row.number

    def is_busy(self, task_id: str) -> bool:
        """Tell whether a run of a task is running, waits for a human, or is between two attempts."""
        return task_id in self._busy or task_id in self._started

    def waiting(self, task_id: str) -> int:
        """Return how many scheduled runs of a task wait for their turn."""
        return self._waiting[task_id]

    def has_started(self, task_id: str) -> bool:
        """Tell whether this pass has started a run of a task."""
        return task_id in self._started

    def note_start(self, task_id: str, *, has_waited: bool) -> None:
        """Note that this pass starts a run of a task; `has_waited`: one of its scheduled runs that waited."""
        self._started.add(task_id)
        if has_waited and self._waiting[task_id]:
            self._waiting[task_id] -= 1


_OPEN_RUNS: Final = Query(
    _OpenRuns,
    lambda: (
        select(runs.c.task_id, runs.c.status, runs.c.attempt, runs.c.trigger, func.count().label("number"))
        .where(runs.c.task_id.in_(bindparam("ids", expanding=True)), is_open())
        .group_by(runs.c.task_id, runs.c.status, runs.c.attempt, runs.c.trigger)
    ),
)
