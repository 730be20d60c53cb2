"""Says once that something will expire: a task whose `end_at` is near, a waiting run that nobody has answered."""

import json
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select, update

from scheduler.store.database.statements import Connection, Query, Statement
from scheduler.store.schema import IS_WAITING, runs, tasks
from scheduler.timing.clock import SECOND, to_datetime

_LONGEST: Final = 86_400 * SECOND
_SHARE: Final = 10
"""A day before the end, or when nine tenths of the time have passed, whichever comes later."""
_END_AT: Final = 5
"""Where a stored schedule has the end of its due times."""
_MOST: Final = 256
"""So many tasks, and so many runs, are handled in one pass."""


@dataclass(frozen=True, slots=True)
class Expiring:
    """What will expire."""

    tasks: list[tuple[str, str]] = field(default_factory=list)
    """Tasks, each with the reason."""
    runs: list[tuple[str, str, int]] = field(default_factory=list)
    """Runs that wait for an answer, each with its task and the end of the wait."""


def warning_time(begin: int, end: int) -> int:
    """Return when to say that something which begins at one instant ends at another one."""
    return end - min(_LONGEST, max(0, end - begin) // _SHARE)


class _ExpiringTask(NamedTuple):
    id: str
    schedule: str
    next_due: int | None


class _ExpiringRun(NamedTuple):
    id: str
    task_id: str
    expires_at: int | None


_TASKS: Final = Query(
    _ExpiringTask,
    lambda: (
        select(tasks.c.id, tasks.c.schedule, tasks.c.next_due)
        .where(tasks.c.warn_at <= bindparam("now"), tasks.c.finished_at.is_(None))
        .limit(_MOST)
    ),
)
_RUNS: Final = Query(
    _ExpiringRun,
    lambda: (
        select(runs.c.id, runs.c.task_id, runs.c.expires_at)
        .where(IS_WAITING, runs.c.warn_at <= bindparam("now"))
        .limit(_MOST)
    ),
)
_TASK_IS_KNOWN: Final = Statement(lambda: update(tasks).where(tasks.c.id == bindparam("task")).values(warn_at=None))
_RUN_IS_KNOWN: Final = Statement(lambda: update(runs).where(runs.c.id == bindparam("run")).values(warn_at=None))


def find_expiring(connection: Connection, now: int) -> Expiring:
    """Return what will expire and has not been returned before; what has expired already is left out."""
    found = connection.execute(_TASKS, {"now": now}).all()
    waiting = connection.execute(_RUNS, {"now": now}).all()
    if found:
        connection.execute_many(_TASK_IS_KNOWN, [{"task": row.id} for row in found])
    if waiting:
        connection.execute_many(_RUN_IS_KNOWN, [{"run": row.id} for row in waiting])
    ends = [(row.id, json.loads(row.schedule)[_END_AT]) for row in found if row.next_due is not None]
    return Expiring(
        [(task_id, end_reason(end)) for task_id, end in ends if end is not None and end > now],
        [(row.id, row.task_id, row.expires_at) for row in waiting if row.expires_at and row.expires_at > now],
    )


def end_reason(end: int) -> str:
    """Return why a task expires that ends at an instant."""
    return f"no due time comes after end_at={to_datetime(end).isoformat()}"
