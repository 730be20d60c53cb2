"""Counts the failures in a row of tasks that are paused for them."""

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, update

from scheduler.models import RunStatus
from scheduler.store import tasks as task_rows
from scheduler.store.database.statements import Connection, Statement
from scheduler.store.schema import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.store.outcomes import Outcome

FAILURES: Final = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT})
"""The statuses of attempts that failed."""


_SET_FAILURES: Final = Statement(
    lambda: update(tasks).where(tasks.c.id == bindparam("task")).values(failures=bindparam("number"))
)


def count_failures(connection: Connection, outcomes: "Sequence[Outcome]", now: int) -> list[tuple[str, str]]:
    """Count the failures in a row of tasks that are paused for them, and return those that are paused now.

    A success sets the count back.
    """
    paused = []
    for outcome in outcomes:
        task = outcome.claim.task
        if task.pause_after_failures is None:
            continue
        if outcome.status is RunStatus.SUCCEEDED:
            connection.execute(_SET_FAILURES, {"task": task.id, "number": 0})
        elif outcome.status in FAILURES:
            reason = _add_failure(connection, outcome, task.pause_after_failures, now)
            paused += [] if reason is None else [(task.id, reason)]
    return paused


def _add_failure(connection: Connection, outcome: "Outcome", most: int, now: int) -> str | None:
    """Count a failure; return why the task is paused now, or None."""
    task_id = outcome.claim.task.id
    row = task_rows.find(connection, task_id)
    if row is None:
        return None
    failures = row.failures + 1
    connection.execute(_SET_FAILURES, {"task": task_id, "number": failures})
    if failures < most or row.paused:
        return None
    reason = f"{failures} runs in a row failed, the last with {outcome.error}"
    task_rows.pause(connection, task_id, now, reason)
    return reason
