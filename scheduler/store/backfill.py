"""Backfills: runs for due times in the past for which no run has started.

They have a concurrency of their own in place of the overlap policy: other runs of their task neither wait for them nor
are waited for, except on a thread that they share. They start after everything that is due now.
"""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import bindparam, or_, select

from scheduler.errors import InvalidTaskError
from scheduler.models import RunStatus, RunTrigger, TaskDefinition
from scheduler.store import history
from scheduler.store import tasks as task_rows
from scheduler.store.database.statements import Connection, Query, Statement
from scheduler.store.rows import RunRow, TaskRow
from scheduler.store.schema import IS_BACKFILL, IS_SCHEDULED, is_open, runs
from scheduler.timing.calendar_schedules import open_only
from scheduler.timing.clock import to_datetime
from scheduler.timing.schedule import schedule_of

MOST: Final = 10_000
"""So many due times one call may look at; it is one transaction, which keeps other writers waiting."""


def backfill(  # noqa: PLR0913 (the range, and how it is filled)
    connection: Connection,
    task_id: str,
    start: int,
    end: int,
    now: int,
    *,
    limit: int,
    max_concurrent: int,
    force: bool,
) -> list[int]:
    """Queue a run for each gap from `start` to `end`, both included, and return their due times.

    Raises `TaskNotFoundError`, and `InvalidTaskError` if there are too many gaps, nobody can know any more what ran
    then, or the task cannot be used.
    """
    row = task_rows.present(connection, task_id)
    task_rows.look_again(connection, row)
    task = task_rows.definition_of(row)
    gaps = _gaps(connection, row, task, start, end, limit)
    if gaps and not force:
        _refuse_forgotten(connection, row, gaps[0])
    rows = [_new_row(task, row.last_seq + 1 + n, due, now, max_concurrent) for n, due in enumerate(gaps)]
    if rows:
        history.insert_special(connection, rows)
        history.note_newest(connection, task_id, row.last_seq + len(rows))
    return gaps


def _new_row(task: TaskDefinition, seq: int, due: int, now: int, max_concurrent: int) -> dict[str, Any]:
    own = {"trigger": RunTrigger.BACKFILL, "exclusive": 0, "max_concurrent": max_concurrent}
    return {**history.new_row(task, seq, due, now, RunStatus.PENDING), **own}


_STARTED: Final = Statement(
    lambda: select(runs.c.scheduled_at).where(
        runs.c.task_id == bindparam("task"),
        or_(IS_SCHEDULED, IS_BACKFILL),
        runs.c.scheduled_at.between(bindparam("since"), bindparam("until")),
        or_(runs.c.attempt > 0, is_open()),
    )
)


def _gaps(  # noqa: PLR0913, PLR0917 (the task, and the range)
    connection: Connection, row: TaskRow, task: TaskDefinition, start: int, end: int, limit: int
) -> list[int]:
    """Return the due times of a range for which no run has started, nor will: oldest first."""
    until = end
    if row.next_due is not None and (not row.paused or task.run_at is not None):
        # The schedule itself sees to what comes from then on; a one-time task runs when it is resumed.
        until = min(end, row.next_due - 1)
    started = set(connection.execute(_STARTED, {"task": row.id, "since": start, "until": until}).scalars())
    gaps: list[int] = []
    for number, due in enumerate(_due_times(row, task, start, until)):
        if number >= MOST:
            problem = f"the range has more than {MOST} due times"
            raise InvalidTaskError(row.id, problem, "fill it in several parts")
        if due not in started:
            gaps.append(due)
        if len(gaps) > limit:
            problem = f"there are more than limit={limit} due times to fill"
            raise InvalidTaskError(row.id, problem, "give a shorter range, or a larger limit")
    return gaps


def _due_times(row: TaskRow, task: TaskDefinition, start: int, until: int) -> Iterator[int]:
    schedule = open_only(task, row.zone, schedule_of(task, row.zone, row.anchor))
    due = schedule.next_after(start - 1)
    while due is not None and due <= until:
        yield due
        due = schedule.next_after(due)


_OLDEST: Final = Query(
    RunRow,
    lambda: select(runs).where(runs.c.task_id == bindparam("task")).order_by(runs.c.seq).limit(1),
)


def _refuse_forgotten(connection: Connection, row: TaskRow, first: int) -> None:
    """Raise `InvalidTaskError` if runs for a due time may have been deleted from the history."""
    oldest = connection.execute(_OLDEST, {"task": row.id}).first()
    is_trimmed = row.last_seq > 0 and (oldest is None or oldest.seq > 1)
    if is_trimmed and (oldest is None or first < oldest.scheduled_at):
        since = "at all" if oldest is None else f"before {to_datetime(oldest.scheduled_at).isoformat()}"
        problem = f"its history was trimmed, so nobody knows what ran {since}"
        raise InvalidTaskError(row.id, problem, "give a later start, or force=True to run these due times again")
