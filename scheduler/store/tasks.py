"""What is asked of the tasks table: add, remove, pause, resume, look up, list, finish, purge."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    not_,
    or_,
    select,
    update,
)

from scheduler.clock import SECOND, to_datetime, to_micros
from scheduler.errors import InvalidTaskError, TaskNotFoundError
from scheduler.models import RunStatus, TaskChanges, TaskDefinition, is_as_checked
from scheduler.planning import Decision, Firing
from scheduler.schedule import Schedule, is_one_time, schedule_of
from scheduler.store import history
from scheduler.store.schema import HAS_THREAD_TO_DELETE, IS_FINISHED, IS_PENDING, IS_WAITING, is_open, runs, tasks
from scheduler.store.statements import Bulk, Connection, Row, Statement

T = TypeVar("T")

_CHUNK: Final = 512
_OWED_PAUSED: Final = "the task was paused before it could start"
_OWED_CHANGED: Final = "the schedule of the task was changed before it could start"
_OWED_ENDED: Final = "max_runs was reached before it could start"
_OWED_REMOVED: Final = "the task was removed before it could start"
_REMOVED: Final = "the task was removed before it began"
_REMOVED_MIDWAY: Final = "the task was removed before it could go on"


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


@dataclass(frozen=True, slots=True)
class NewTask:
    """A definition that has been checked, as it will be stored."""

    task: TaskDefinition
    text: str
    zone: str
    schedule_key: str
    source: str | None

    def schedule(self, anchor: int) -> Schedule:
        """Return its due times, counted from `anchor`."""
        return schedule_of(self.task, self.zone, anchor)


def prepare(task: TaskDefinition, default_zone: str, source: str | None = None) -> NewTask:
    """Check a definition once more if it may have been changed since it was built, and put it into its stored form.

    `source` is what brings it; None: a program or a person, by hand. Raises `ValueError`.
    """
    checked = task if is_as_checked(task) else TaskDefinition.model_validate(_given(task))
    text = checked.model_dump_json(exclude_defaults=True)
    zone = checked.timezone or default_zone
    return NewTask(checked, text, zone, _schedule_key(checked, zone), source)


def _given(task: TaskDefinition) -> dict[str, Any]:
    """Return the fields that were given or changed: those that may be wrong, the mutable ones always among them."""
    values = task.__dict__
    return {name: values[name] for name in task.model_fields_set | _MUTABLE if name in values}


_MUTABLE: Final = frozenset({"metadata", "context"})


def _schedule_key(task: TaskDefinition, zone: str) -> str:
    in_zone = None if task.cron_expression is None else zone
    interval, jitter = task.interval_seconds, task.jitter_seconds
    return _key_text(task.cron_expression, in_zone, interval, task.run_at, task.start_at, task.end_at, jitter)


@lru_cache(maxsize=4096)
def _key_text(cron: str | None, zone: str | None, interval: int | None, *others: datetime | int | None) -> str:
    return json.dumps([cron, zone, interval, *(to_micros(x) if isinstance(x, datetime) else x for x in others)])


# --- Adding ---


def add(connection: Connection, new_tasks: Sequence[NewTask], now: int) -> None:
    """Add tasks, or replace those with the same id. Raises `InvalidTaskError`; the caller's transaction is undone."""
    first_due = _FirstDue(now)
    for some in _chunks(new_tasks):  # whose rows are let go of before the next ones are made
        _add_some(connection, some, first_due)


def _add_some(connection: Connection, new_tasks: Sequence[NewTask], first_due: "_FirstDue") -> None:
    existing = _existing(connection, [new.task.id for new in new_tasks])
    inserted, updated = [], []
    for new in new_tasks:
        row = existing.get(new.task.id)
        if row is None:
            inserted.append(_first_values(new, first_due))
        elif row.removed:
            updated.append(_for_update(_first_values(new, first_due)))
        else:
            updated.append(_for_update(_replacement(connection, row, new, first_due)))
    if inserted:
        connection.execute_many(_INSERT, inserted)
    if updated:
        connection.execute_many(_REPLACE, updated)
        finish_if_over(connection, [values["row_id"] for values in updated], first_due.now)


def _for_update(values: dict[str, Any]) -> dict[str, Any]:
    return {"row_id": values["id"], **{f"new_{column.name}": values[column.name] for column in _REPLACEABLE}}


def _existing(connection: Connection, ids: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for chunk in _chunks(ids):
        found.update((row.id, row) for row in connection.execute(_BY_IDS, {"ids": chunk}))
    return found


class _FirstDue:
    """The first due times of schedules that begin now; tasks with the same schedule share the reckoning."""

    def __init__(self, now: int) -> None:
        self.now = now
        self._known: dict[str, int] = {}

    def of(self, new: NewTask) -> int:
        """Return when a task is due first. Raises `InvalidTaskError`."""
        due = self._known.get(new.schedule_key)
        if due is None:
            due = _first_due(new, self.now)
            if not new.task.jitter_seconds:  # jitter differs from task to task
                self._known[new.schedule_key] = due
        return due


def _first_values(new: NewTask, first_due: _FirstDue) -> dict[str, Any]:
    """Return the row of a task whose schedule begins now."""
    return {
        "id": new.task.id,
        "definition": new.text,
        "schedule": new.schedule_key,
        "zone": new.zone,
        "anchor": first_due.now,
        "next_due": first_due.of(new),
        "paused": int(not new.task.enabled),
        "pause_reason": None,
        "started_runs": 0,
        "failures": 0,
        "last_seq": 0,
        "finished_at": None,
        "removed": 0,
        "problem": None,
        "source": new.source,
    }


def apply(connection: Connection, new_tasks: Sequence[NewTask], source: str, now: int, *, prune: bool) -> TaskChanges:
    """Add or replace tasks and, with `prune`, remove the others that `source` brought. Raises `InvalidTaskError`."""
    existing = _existing(connection, [new.task.id for new in new_tasks])
    brought: dict[str, list[NewTask]] = {"added": [], "changed": [], "kept": []}
    left_out = []
    for new in new_tasks:
        row = existing.get(new.task.id)
        passed = _passed(row, new, now)
        if passed is None:
            brought[_change(row, new)].append(new)
        else:
            left_out.append((new.task.id, passed))
    add(connection, [new for group in brought.values() for new in group], now)
    present = {new.task.id for new in new_tasks}
    gone = [task_id for task_id in _brought_by(connection, source) if task_id not in present] if prune else []
    for task_id in gone:
        remove(connection, task_id, now)
    ids = {change: tuple(new.task.id for new in group) for change, group in brought.items()}
    return TaskChanges(**ids, removed=tuple(gone), left_out=tuple(left_out))


def _passed(row: Row | None, new: NewTask, now: int) -> str | None:
    """Return why a task that is not there, or is finished, has nothing to do any more, or None."""
    if row is not None and not row.removed and (row.finished_at is None or row.schedule == new.schedule_key):
        return None
    for field in ("run_at", "end_at"):
        moment = getattr(new.task, field)
        if moment is not None and to_micros(moment) <= now:
            return f"{field}={moment.isoformat()} has passed"
    return None


def _change(row: Row | None, new: NewTask) -> str:
    if row is None or row.removed:
        return "added"
    same = row.schedule == new.schedule_key and row.problem is None and read_definition(row) == new.task
    return "kept" if same else "changed"


def _brought_by(connection: Connection, source: str) -> list[str]:
    return connection.execute(_OF_SOURCE, {"of_source": source}).scalars()


def _first_due(new: NewTask, now: int) -> int:
    due = new.schedule(now).next_after(now)
    if due is not None:
        return due
    task = new.task
    if task.run_at is not None:
        problem = f"run_at={task.run_at.isoformat()} has passed (it is {to_datetime(now).isoformat()})"
        raise InvalidTaskError(task.id, f"{problem}; give an instant in the future, or use trigger_task to run it now")
    if task.end_at is not None:
        problem = f"end_at={task.end_at.isoformat()} leaves no due time after {to_datetime(now).isoformat()}"
        raise InvalidTaskError(task.id, f"{problem}; give a later end_at")
    problem = f"cron_expression={task.cron_expression!r} has no due time before the year 2200"
    raise InvalidTaskError(task.id, f"{problem}; give one that comes")


def _replacement(connection: Connection, row: Row, new: NewTask, first_due: _FirstDue) -> dict[str, Any]:
    """Return the changed columns of a task that is added again."""
    now = first_due.now
    if row.schedule != new.schedule_key:
        account_for_owed(connection, row, now, _OWED_CHANGED)
        values = _first_values(new, first_due)
        values["paused"], values["pause_reason"] = row.paused, row.pause_reason
    else:
        values = {**row._asdict(), "definition": new.text, "zone": new.zone, "problem": None, "source": new.source}
        values.update(_within_max_runs(connection, row, new, now))
    if not new.task.enabled:
        if values["next_due"] == row.next_due:
            values.update(_past_owed(connection, row, new.task, now))
        values["paused"], values["pause_reason"] = 1, None
    elif row.paused and not _was_enabled(row.definition):
        values.update(_resumed(new.task, new.schedule(values["anchor"]), values["next_due"], now))
    return values


def _within_max_runs(connection: Connection, row: Row, new: NewTask, now: int) -> dict[str, Any]:
    """Finish, or take up again, a task whose schedule is the same and whose `max_runs` may have changed."""
    most = new.task.max_runs
    if is_one_time(new.task):
        return {}
    if most is not None and row.started_runs >= most:
        account_for_owed(connection, row, now, _OWED_ENDED)
        return {"next_due": None}
    if row.next_due is None:
        due = new.schedule(row.anchor).next_after(now)
        return {} if due is None else {"next_due": due, "finished_at": None}
    return {}


def _was_enabled(definition: str) -> bool:
    try:
        return json.loads(definition).get("enabled", True) is not False
    except (ValueError, AttributeError):
        return True


# --- Pausing, resuming, removing ---


def pause(connection: Connection, task_id: str, now: int, reason: str | None = None) -> None:
    """Pause a task. Raises `TaskNotFoundError`."""
    row = present(connection, task_id)
    if row.paused or row.finished_at is not None:
        return
    due = _past_owed(connection, row, read_definition(row), now).get("next_due", row.next_due)
    connection.execute(_PAUSE, {"task": task_id, "reason": reason, "due": due})
    if due is None:
        finish_if_over(connection, [task_id], now)


def _past_owed(connection: Connection, row: Row, task: TaskDefinition | None, now: int) -> dict[str, int | None]:
    """Account for the due times that a pause leaves unserved; return the next one. A one-time task keeps its own."""
    if task is None or row.paused or row.next_due is None or row.next_due > now or is_one_time(task):
        return {}
    account_for_owed(connection, row, now, _OWED_PAUSED)
    return {"next_due": schedule_of(task, row.zone, row.anchor).next_after(now)}


def resume(connection: Connection, task_id: str, now: int) -> None:
    """Resume a paused task. Raises `TaskNotFoundError`."""
    row = present(connection, task_id)
    task = read_definition(row)
    if not row.paused or task is None:
        return
    due = _resumed(task, schedule_of(task, row.zone, row.anchor), row.next_due, now).get("next_due", row.next_due)
    connection.execute(_RESUME, {"task": task_id, "due": due})
    if due is None:
        finish_if_over(connection, [task_id], now)


def _resumed(task: TaskDefinition, schedule: Schedule, next_due: int | None, now: int) -> dict[str, Any]:
    """Return the columns of a task that goes on: of what passed meanwhile, only a one-time task's instant is due."""
    values: dict[str, Any] = {"paused": 0, "pause_reason": None, "failures": 0}
    if next_due is not None and not is_one_time(task):
        values["next_due"] = schedule.next_after(now)
    return values


def remove(connection: Connection, task_id: str, now: int) -> None:
    """Remove a task; runs that have not begun are cancelled, its history stays. Raises `TaskNotFoundError`."""
    row = present(connection, task_id)
    account_for_owed(connection, row, now, _OWED_REMOVED)
    connection.execute(_REMOVE, {"task": task_id, "now": now})
    cancel_if_removed(connection, task_id, now)


def cancel_if_removed(connection: Connection, task_id: str, now: int) -> None:
    """Cancel the runs of a removed task that wait: for their start, or for an answer."""
    rows = connection.execute(_LEFT_WAITING, {"task": task_id}).all()
    cancel(connection, [row for row in rows if not row.attempt], now, _REMOVED)
    cancel(connection, [row for row in rows if row.attempt], now, _REMOVED_MIDWAY)


def cancellable(which: ColumnElement[bool]) -> Select[Any]:
    """Return what asks for runs that wait, as `cancel` takes them, given a condition on them and their tasks."""
    columns = runs.c.id, runs.c.task_id, runs.c.attempt, runs.c.thread_id, runs.c.checkpointed
    return select(*columns, tasks.c.definition, tasks.c.zone).join(tasks, tasks.c.id == runs.c.task_id).where(which)


def cancel(connection: Connection, rows: Sequence[Row], now: int, error: str) -> list[str]:
    """Cancel runs that wait; return their tasks, each once."""
    if rows:
        connection.execute_many(_CANCEL, [{"run": row.id, "at": now, "reason": error} for row in rows])
    for row in rows:
        task = read_definition(row) if row.checkpointed else None
        if task is not None:
            history.keep_own_thread(connection, task, row.id, row.thread_id, now)
    return list(dict.fromkeys(row.task_id for row in rows))


def account_for_owed(connection: Connection, row: Row, now: int, reason: str) -> None:
    """Write one `skipped` row for due times that have passed unserved and will not be served any more."""
    task = read_definition(row)
    if task is None or row.finished_at is not None or row.next_due is None or row.next_due > now:
        return
    if row.paused and not is_one_time(task):
        return
    schedule = schedule_of(task, row.zone, row.anchor)
    latest = schedule.latest(row.next_due, now) or row.next_due
    firing = Firing(Decision.SKIP, latest, schedule.count(row.next_due, latest), reason)
    history.insert_skipped(connection, task, row, firing, now)


# --- Reading ---


def get(connection: Connection, task_id: str) -> TaskDefinition:
    """Return the definition of a task, finished or not. Raises `TaskNotFoundError`, `InvalidTaskError`."""
    row = present(connection, task_id)
    task = read_definition(row)
    if task is None:
        raise InvalidTaskError(task_id, f"its stored definition cannot be used ({row.problem}); add the task again")
    return task


def read_definition(row: HasDefinition) -> TaskDefinition | None:
    """Return the definition that a row holds, or None if it cannot be used; its zone may be unknown on this machine."""
    try:
        ZoneInfo(row.zone)
        return TaskDefinition.model_validate_json(row.definition)
    except (ValueError, LookupError, OSError):
        return None


def unfinished(connection: Connection) -> Sequence[Row]:
    """Return what a listing shows of all tasks that are not finished, by next due time."""
    return connection.execute(_UNFINISHED).all()


def open_statuses(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Return, for those tasks that have an open run, its status; `running` before `pending`."""
    found: dict[str, str] = {}
    for chunk in _chunks(ids):
        for row in connection.execute(_OPEN_OF_TASKS, {"ids": chunk}):
            if found.get(row.task_id) != RunStatus.RUNNING:
                found[row.task_id] = row.status
    return found


def present(connection: Connection, task_id: str) -> Row:
    """Return the row of a task, finished or not. Raises `TaskNotFoundError`."""
    row = connection.execute(_BY_ID, {"task_id": task_id}).first()
    if row is None or row.removed:
        raise TaskNotFoundError(task_id)
    return row


def find(connection: Connection, task_id: str) -> Row | None:
    """Return the row of a task that is not finished, or None."""
    row = connection.execute(_BY_ID, {"task_id": task_id}).first()
    return None if row is None or row.finished_at is not None else row


# --- When the clock is put back ---


def reckon_again(connection: Connection, now: int) -> None:
    """Reckon recurring due times anew from `now`, so that a clock that was put back does not silence their tasks.

    An interval that would wait for longer than itself begins again from now. A due time that has its row already is
    not started a second time.
    """
    for row in connection.execute(_WAITING, {"now": now}).all():
        task = read_definition(row)
        if task is None or is_one_time(task):
            continue
        anchor = row.anchor
        if task.interval_seconds is not None and row.next_due - now > task.interval_seconds * SECOND:
            anchor = now
        due = schedule_of(task, row.zone, anchor).next_after(now)
        connection.execute(_RECKON, {"task": row.id, "new_anchor": anchor, "due": due})
    connection.execute(_READY_NOW, {"now": now})


# --- Finishing and purging ---


def finish_if_over(connection: Connection, ids: Iterable[str], now: int) -> None:
    """Mark those of the tasks as finished that have no due time and no open run any more."""
    for chunk in _chunks(list(ids)):
        connection.execute(_FINISH, {"ids": chunk, "now": now})


def quarantine(connection: Connection, task_id: str, problem: str) -> None:
    """Leave a task alone from now on, and say why, until it is added again."""
    connection.execute(_QUARANTINE, {"task": task_id, "why": problem})


def purge(connection: Connection, finished_before: int) -> int:
    """Delete tasks that have been finished or removed for so long, and their history; return how many.

    At most some hundred at once, so that no transaction is long. A task with an open run, or a thread that is still
    to be deleted, stays.
    """
    ids = connection.execute(_OLD, {"before": finished_before}).scalars()
    if ids:
        connection.execute(_DELETE_RUNS, {"ids": ids})
        connection.execute(_DELETE_TASKS, {"ids": ids})
    return len(ids)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split a list so that no statement has more parameters than a database takes."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


_BY_ID: Final = Statement(lambda: select(tasks).where(tasks.c.id == bindparam("task_id")))
_BY_IDS: Final = Statement(lambda: select(tasks).where(tasks.c.id.in_(bindparam("ids", expanding=True))))
_OF_SOURCE: Final = Statement(
    lambda: (
        select(tasks.c.id).where(tasks.c.source == bindparam("of_source"), tasks.c.removed == 0).order_by(tasks.c.id)
    )
)
_LISTED: Final = ("id", "definition", "zone", "anchor", "next_due", "paused", "pause_reason", "problem")
_UNFINISHED: Final = Statement(
    lambda: (
        select(*(tasks.c[name] for name in _LISTED))
        .where(tasks.c.finished_at.is_(None))
        .order_by(tasks.c.next_due.is_(None), tasks.c.next_due, tasks.c.id)
    )
)
_WAITING: Final = Statement(
    lambda: select(tasks).where(
        tasks.c.next_due > bindparam("now"), tasks.c.finished_at.is_(None), tasks.c.problem.is_(None)
    )
)
_OPEN_OF_TASKS: Final = Statement(
    lambda: select(runs.c.task_id, runs.c.status).where(runs.c.task_id.in_(bindparam("ids", expanding=True)), is_open())
)
_INSERT: Final = Bulk(lambda given: given.insert(tasks, tasks.c.keys()))
_REPLACEABLE: Final = [column for column in tasks.c if column.name not in {"id", "last_seq"}]
_REPLACE: Final = Bulk(
    lambda given: (
        update(tasks)
        .where(tasks.c.id == given("row_id"))
        .values({column: given(f"new_{column.name}", type(column.type)) for column in _REPLACEABLE})
    )
)
_LEFT_WAITING: Final = Statement(
    lambda: cancellable(and_(runs.c.task_id == bindparam("task"), tasks.c.removed == 1, or_(IS_PENDING, IS_WAITING)))
)
_CANCEL: Final = Statement(
    lambda: (
        update(runs)
        .where(runs.c.id == bindparam("run"))
        .values(status=RunStatus.CANCELLED, finished_at=bindparam("at"), expires_at=None, error=bindparam("reason"))
    )
)
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
_OF_TASK: Final = tasks.c.id == bindparam("task")
_PAUSE: Final = Statement(
    lambda: update(tasks).where(_OF_TASK).values(paused=1, pause_reason=bindparam("reason"), next_due=bindparam("due"))
)
_RESUME: Final = Statement(
    lambda: update(tasks).where(_OF_TASK).values(paused=0, pause_reason=None, failures=0, next_due=bindparam("due"))
)
_REMOVE: Final = Statement(
    lambda: (
        update(tasks)
        .where(_OF_TASK)
        .values(removed=1, next_due=None, paused=0, pause_reason=None, problem=None, finished_at=bindparam("now"))
    )
)
_RECKON: Final = Statement(
    lambda: update(tasks).where(_OF_TASK).values(anchor=bindparam("new_anchor"), next_due=bindparam("due"))
)
_READY_NOW: Final = Statement(
    lambda: update(runs).where(IS_PENDING, runs.c.ready_at > bindparam("now")).values(ready_at=bindparam("now"))
)
_QUARANTINE: Final = Statement(lambda: update(tasks).where(_OF_TASK).values(problem=bindparam("why")))
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
_DELETE_RUNS: Final = Statement(lambda: delete(runs).where(runs.c.task_id.in_(bindparam("ids", expanding=True))))
_DELETE_TASKS: Final = Statement(lambda: delete(tasks).where(tasks.c.id.in_(bindparam("ids", expanding=True))))
