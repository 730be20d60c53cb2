"""What is asked of the tasks table: remove, pause, resume, look up, list, finish, purge."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    not_,
    or_,
    select,
    update,
)

from scheduler.errors import InvalidTaskError, TaskNotFoundError
from scheduler.models import RunStatus, TaskDefinition, TaskType
from scheduler.store import history, responses, tagging, unloadable
from scheduler.store.database.statements import Connection, Query, Statement
from scheduler.store.reading import Unreadable, read
from scheduler.store.rows import TaskRow
from scheduler.store.schema import (
    HAS_THREAD_TO_DELETE,
    IS_FINISHED,
    IS_PENDING,
    IS_WAITING,
    RESUMES_BY_ITSELF,
    is_open,
    purged,
    runs,
    tasks,
)
from scheduler.timing.clock import to_datetime
from scheduler.timing.planning import Decision, Firing
from scheduler.timing.schedule import Schedule, is_one_time, schedule_of

T = TypeVar("T")

_CHUNK: Final = 512
_NOT_RESUMED: Final = "its definition could not be read when its pause ended"
_OWED_PAUSED: Final = "the task was paused before it could start"
_NOT_COUNTED: Final = "later due times are not counted, because its definition cannot be read here"
_RUN_AT: Final = 3
"""Where a stored schedule has the instant of a one-time task."""
_OWED_REMOVED: Final = "the task was removed before it could start"
_REMOVED: Final = "the task was removed before it began"
_REMOVED_MIDWAY: Final = "the task was removed before it could continue"


class HasDefinition(Protocol):
    """A row that holds a stored definition."""

    @property
    def definition(self) -> str:
        """The definition, as JSON."""
        ...

    @property
    def zone(self) -> str:
        """The zone that is in force for it."""
        ...


# --- Pausing, resuming, removing ---


_OF_TASK: Final = tasks.c.id == bindparam("task")


_PAUSE: Final = Statement(
    lambda: (
        update(tasks)
        .where(_OF_TASK)
        .values(
            paused=1,
            pause_reason=bindparam("reason"),
            pause_until=bindparam("until"),
            paused_at=bindparam("since"),
            next_due=bindparam("due"),
        )
    )
)


def pause(connection: Connection, task_id: str, now: int, reason: str | None = None, until: int | None = None) -> None:
    """Pause a task, until it is resumed or for a time; of one that is paused, change why and until when.

    Raises `TaskNotFoundError`.
    """
    row = present(connection, task_id)
    if row.finished_at is not None or (row.paused and (reason, until) == (None, row.pause_until)):
        return
    due = past_owed(connection, row, read_definition(row), now).get("next_due", row.next_due)
    since = row.paused_at if row.paused else now
    why = row.pause_reason if row.paused and reason is None else reason
    connection.execute(_PAUSE, {"task": task_id, "reason": why, "until": until, "since": since, "due": due})
    if due is None:
        finish_if_over(connection, [task_id], now)


def past_owed(connection: Connection, row: TaskRow, task: TaskDefinition | None, now: int) -> dict[str, int | None]:
    """Account for the due times that a pause leaves unserved; return the next one. A one-time task keeps its own."""
    if row.paused or row.next_due is None or row.next_due > now or _runs_once(row):
        return {}
    account_for_owed(connection, row, now, _OWED_PAUSED)
    return {} if task is None else {"next_due": schedule_of(task, row.zone, row.anchor).next_after(now)}


def _runs_once(row: TaskRow) -> bool:
    """Tell it from the stored schedule, because the definition may not be readable here."""
    return json.loads(row.schedule)[_RUN_AT] is not None


_NOT_PAUSED: Final = {"paused": 0, "pause_reason": None, "paused_at": None, "pause_until": None}
_RESUME: Final = Statement(
    lambda: update(tasks).where(_OF_TASK).values(**_NOT_PAUSED, failures=0, next_due=bindparam("due"))
)


def resume(connection: Connection, task_id: str, now: int) -> None:
    """Resume a paused task, and look again at one that cannot be used.

    Raises `TaskNotFoundError`, and `InvalidTaskError` if the stored definition still cannot be used.
    """
    row = present(connection, task_id)
    look_again(connection, row)
    if row.paused:
        _resume(connection, row, definition_of(row), now, now)


def _resume(connection: Connection, row: TaskRow, task: TaskDefinition, since: int, now: int) -> None:
    """Resume a paused task; what comes after `since` is due."""
    due = resumed(task, schedule_of(task, row.zone, row.anchor), row.next_due, since).get("next_due", row.next_due)
    connection.execute(_RESUME, {"task": row.id, "due": due})
    if due is None:
        finish_if_over(connection, [row.id], now)


_RESUMING: Final = Query(
    TaskRow, lambda: select(tasks).where(RESUMES_BY_ITSELF, tasks.c.pause_until <= bindparam("now")).limit(_CHUNK)
)


def resume_expired(connection: Connection, now: int) -> list[str]:
    """Resume the tasks whose pause has ended, and return them; the end of a pause may itself be a due time.

    A task whose definition cannot be used here stays paused, and says so.
    """
    continued = []
    for row in connection.execute(_RESUMING, {"now": now}).all():
        task = read_definition(row)
        if task is not None and row.pause_until is not None:
            _resume(connection, row, task, row.pause_until - 1, now)
            continued.append(row.id)
        else:
            values = {"reason": _NOT_RESUMED, "until": None, "since": row.paused_at, "due": row.next_due}
            connection.execute(_PAUSE, {"task": row.id, **values})
    return continued


def resumed(task: TaskDefinition, schedule: Schedule, next_due: int | None, now: int) -> dict[str, Any]:
    """Return the columns of a task that continues: of what passed meanwhile, only a one-time task's instant is due."""
    values: dict[str, Any] = {**_NOT_PAUSED, "failures": 0}
    if next_due is not None and not is_one_time(task):
        values["next_due"] = schedule.next_after(now)
    return values


_REMOVE: Final = Statement(
    lambda: (
        update(tasks)
        .where(_OF_TASK)
        .values(**_NOT_PAUSED, removed=1, next_due=None, problem=None, finished_at=bindparam("now"))
    )
)


def remove(connection: Connection, task_id: str, now: int) -> None:
    """Remove a task; runs that have not started are cancelled, its history stays. Raises `TaskNotFoundError`."""
    row = present(connection, task_id)
    account_for_owed(connection, row, now, _OWED_REMOVED)
    connection.execute(_REMOVE, {"task": task_id, "now": now})
    unloadable.forget(connection, [task_id])
    cancel_if_removed(connection, task_id, now)


class CancellableRun(NamedTuple):
    """A run that waits, as `cancel` takes it."""

    id: str
    task_id: str
    attempt: int
    thread_id: str
    checkpointed: int
    definition: str
    zone: str


_LEFT_WAITING: Final = Query(
    CancellableRun,
    lambda: cancellable(and_(runs.c.task_id == bindparam("task"), tasks.c.removed == 1, or_(IS_PENDING, IS_WAITING))),
)


def cancel_if_removed(connection: Connection, task_id: str, now: int) -> None:
    """Cancel the runs of a removed task that wait: for their start, or for an answer."""
    rows = connection.execute(_LEFT_WAITING, {"task": task_id}).all()
    cancel(connection, [row for row in rows if not row.attempt], now, _REMOVED)
    cancel(connection, [row for row in rows if row.attempt], now, _REMOVED_MIDWAY)


def cancellable(which: ColumnElement[bool]) -> Select[Any]:
    """Return what asks for `CancellableRun`s, given a condition on them and their tasks."""
    columns = runs.c.id, runs.c.task_id, runs.c.attempt, runs.c.thread_id, runs.c.checkpointed
    return select(*columns, tasks.c.definition, tasks.c.zone).join(tasks, tasks.c.id == runs.c.task_id).where(which)


_CANCEL: Final = Statement(
    lambda: (
        update(runs)
        .where(runs.c.id == bindparam("run"))
        .values(status=RunStatus.CANCELLED, finished_at=bindparam("at"), expires_at=None, error=bindparam("reason"))
    )
)


def cancel(connection: Connection, rows: Sequence[CancellableRun], now: int, error: str) -> list[str]:
    """Cancel runs that wait; return their tasks, each once."""
    if rows:
        connection.execute_many(_CANCEL, [{"run": row.id, "at": now, "reason": error} for row in rows])
    for row in rows:
        task = read_definition(row) if row.checkpointed else None
        if task is not None:
            history.keep_own_thread(connection, task, row.id, row.thread_id, now)
    return list(dict.fromkeys(row.task_id for row in rows))


def account_for_owed(connection: Connection, row: TaskRow, now: int, reason: str) -> None:
    """Write one `skipped` row for due times that have passed unserved and will not be served any more."""
    if row.finished_at is not None or row.next_due is None or row.next_due > now:
        return
    if row.paused and not _runs_once(row):
        return
    task = read_definition(row)
    if task is None:
        firing = Firing(Decision.SKIP, row.next_due, 0, f"{reason}; {_NOT_COUNTED}")
        history.insert_skipped(connection, _stand_in(row.id, row.next_due), row.last_seq, firing, now)
        return
    schedule, first = history.without_served(connection, task.id, schedule_of(task, row.zone, row.anchor), row.next_due)
    if first is None or first > now:
        return
    latest = schedule.latest(first, now) or first
    firing = Firing(Decision.SKIP, latest, schedule.count(first, latest), reason)
    history.insert_skipped(connection, task, row.last_seq, firing, now)


def _stand_in(task_id: str, due: int) -> TaskDefinition:
    """Return a definition for the history of a task whose own cannot be read."""
    run_at = to_datetime(due)
    return TaskDefinition(id=task_id, name=task_id, prompt=task_id, task_type=TaskType.ONE_TIME, run_at=run_at)


# --- Reading ---


def get(connection: Connection, task_id: str) -> TaskDefinition:
    """Return the definition of a task, finished or not. Raises `TaskNotFoundError`, `InvalidTaskError`."""
    return definition_of(present(connection, task_id))


def definition_of(row: TaskRow) -> TaskDefinition:
    """Return the definition of a task. Raises `InvalidTaskError` if it cannot be used here."""
    found = read(row.definition, row.zone)
    if isinstance(found, TaskDefinition):
        return found
    if found.is_damaged:
        problem = f"its stored definition cannot be used ({found.problem})"
        raise InvalidTaskError(row.id, problem, "add the task again")
    problem = f"its stored definition cannot be used here ({found.problem})"
    raise InvalidTaskError(row.id, problem, "use the release or machine that stored it, or add the task again")


def read_definition(row: HasDefinition) -> TaskDefinition | None:
    """Return the definition that a row holds, or None if it cannot be used here."""
    found = read(row.definition, row.zone)
    return found if isinstance(found, TaskDefinition) else None


class ListedRow(NamedTuple):
    """What a listing shows of a task."""

    id: str
    definition: str
    zone: str
    anchor: int
    next_due: int | None
    paused: int
    pause_reason: str | None
    problem: str | None
    paused_at: int | None
    pause_until: int | None
    source: str | None
    finished_at: int | None
    started_runs: int


class _OpenStatus(NamedTuple):
    task_id: str
    status: str


def _select_unfinished() -> Select[Any]:
    return (
        select(*(tasks.c[name] for name in ListedRow._fields))
        .where(tasks.c.finished_at.is_(None))
        .order_by(tasks.c.next_due.is_(None), tasks.c.next_due, tasks.c.id)
    )


_UNFINISHED: Final = Query(ListedRow, _select_unfinished)
_FIRST_UNFINISHED: Final = Query(ListedRow, lambda: _select_unfinished().limit(bindparam("limit")))


def unfinished(connection: Connection, limit: int | None = None) -> Sequence[ListedRow]:
    """Return what a listing shows of the tasks that are not finished, by next due time; with a limit, of the first."""
    if limit is None:
        return connection.execute(_UNFINISHED).all()
    return connection.execute(_FIRST_UNFINISHED, {"limit": limit}).all()


_OPEN_OF_TASKS: Final = Query(
    _OpenStatus,
    lambda: select(runs.c.task_id, runs.c.status).where(
        runs.c.task_id.in_(bindparam("ids", expanding=True)), is_open()
    ),
)


def open_statuses(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Return, for those tasks that have an open run, its status; `running` before `pending`."""
    found: dict[str, str] = {}
    for chunk in chunks(ids):
        for row in connection.execute(_OPEN_OF_TASKS, {"ids": chunk}):
            if found.get(row.task_id) != RunStatus.RUNNING:
                found[row.task_id] = row.status
    return found


_BY_ID: Final = Query(TaskRow, lambda: select(tasks).where(tasks.c.id == bindparam("task_id")))


def present(connection: Connection, task_id: str) -> TaskRow:
    """Return the row of a task, finished or not. Raises `TaskNotFoundError`."""
    row = connection.execute(_BY_ID, {"task_id": task_id}).first()
    if row is None or row.removed:
        raise TaskNotFoundError(task_id)
    return row


def find(connection: Connection, task_id: str) -> TaskRow | None:
    """Return the row of a task that is not finished, or None."""
    row = connection.execute(_BY_ID, {"task_id": task_id}).first()
    return None if row is None or row.finished_at is not None else row


# --- Finishing and purging ---


_FINISH: Final = Statement(
    lambda: (
        update(tasks)
        .where(
            tasks.c.id.in_(bindparam("ids", expanding=True)),
            tasks.c.next_due.is_(None),
            tasks.c.finished_at.is_(None),
            tasks.c.problem.is_(None),
            not_(exists().where(runs.c.task_id == tasks.c.id, is_open())),
        )
        .values(finished_at=bindparam("now"))
    )
)


def finish_if_over(connection: Connection, ids: Iterable[str], now: int) -> None:
    """Mark those of the tasks as finished that have no due time and no open run any more."""
    for chunk in chunks(list(ids)):
        connection.execute(_FINISH, {"ids": chunk, "now": now})


_QUARANTINE: Final = Statement(lambda: update(tasks).where(_OF_TASK).values(problem=bindparam("why")))


def quarantine(connection: Connection, task_id: str, problem: str) -> None:
    """Leave a task whose row is damaged alone, and say why, until it is added again or looked at again."""
    connection.execute(_QUARANTINE, {"task": task_id, "why": problem})


_RELEASE: Final = Statement(lambda: update(tasks).where(tasks.c.problem.is_not(None)).values(problem=None))


def release_quarantined(connection: Connection) -> None:
    """Let what is quarantined come due again; what is still damaged is quarantined again then.

    Earlier releases also quarantined tasks whose code could not be imported in some process.
    """
    connection.execute(_RELEASE)


_RELEASE_ONE: Final = Statement(lambda: update(tasks).where(_OF_TASK).values(problem=None))


def look_again(connection: Connection, row: TaskRow) -> None:
    """Let every scheduler try again to load a task; release it if it is quarantined.

    Raises `InvalidTaskError` if its row is damaged.
    """
    found = read(row.definition, row.zone)
    if isinstance(found, Unreadable) and found.is_damaged:
        definition_of(row)
    unloadable.retry_soon(connection, row.id)
    if row.problem is not None:
        connection.execute(_RELEASE_ONE, {"task": row.id})


_OLD: Final = Statement(
    lambda: (
        select(tasks.c.id)
        .where(
            IS_FINISHED,
            tasks.c.finished_at < bindparam("before"),
            not_(exists().where(runs.c.task_id == tasks.c.id, is_open())),
            not_(exists().where(runs.c.task_id == tasks.c.id, HAS_THREAD_TO_DELETE)),
        )
        .limit(_CHUNK)
    )
)
# A removed task is new when it is added again, so its count of runs is not kept.
_STARTED_RUNS: Final = case((tasks.c.removed == 1, 0), else_=tasks.c.started_runs)


_RECORD_PURGED: Final = Statement(
    lambda: purged.insert().from_select(
        ["id", "schedule", "started_runs"],
        select(tasks.c.id, tasks.c.schedule, _STARTED_RUNS).where(tasks.c.id.in_(bindparam("ids", expanding=True))),
    )
)
_DELETE_RUNS: Final = Statement(lambda: delete(runs).where(runs.c.task_id.in_(bindparam("ids", expanding=True))))
_DELETE_TASKS: Final = Statement(lambda: delete(tasks).where(tasks.c.id.in_(bindparam("ids", expanding=True))))


def purge(connection: Connection, finished_before: int) -> int:
    """Delete tasks that have been finished or removed for so long, and their history; return how many.

    Their ids and schedules are recorded: a program that adds such a task at each start must still be able to start. At
    most some hundred at once, so that no transaction is long. A task with an open run, or a thread that is still
    to be deleted, stays.
    """
    ids = connection.execute(_OLD, {"before": finished_before}).scalars()
    if ids:
        forget_purged(connection, ids)
        unloadable.forget(connection, ids)
        tagging.forget(connection, ids)
        connection.execute(_RECORD_PURGED, {"ids": ids})
        responses.forget_of_tasks(connection, ids)
        connection.execute(_DELETE_RUNS, {"ids": ids})
        connection.execute(_DELETE_TASKS, {"ids": ids})
    return len(ids)


_FORGET_PURGED: Final = Statement(lambda: delete(purged).where(purged.c.id.in_(bindparam("ids", expanding=True))))


def forget_purged(connection: Connection, ids: Sequence[str]) -> None:
    """Delete what was recorded when tasks with these ids were purged."""
    if ids:
        connection.execute(_FORGET_PURGED, {"ids": ids})


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split a list so that no statement has more parameters than a database takes."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
