"""Adds tasks to the store: new ones, ones that are added again, and those that a source brings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import bindparam, select, update

from scheduler._texts import shown
from scheduler.calendars import Calendar
from scheduler.errors import InvalidTaskError, TaskChangedError
from scheduler.models import TaskChanges, TaskDefinition, calendar_of, is_as_checked, stored_text
from scheduler.store import tagging, unloadable
from scheduler.store.database.statements import Bulk, Connection, Query, Statement
from scheduler.store.expiring import warning_time
from scheduler.store.rows import PurgedRow, TaskRow
from scheduler.store.schema import purged as purged_table
from scheduler.store.schema import tasks
from scheduler.store.searching import words_of
from scheduler.store.tasks import (
    account_for_owed,
    chunks,
    definition_of,
    finish_if_over,
    forget_purged,
    past_owed,
    present,
    read_definition,
    remove,
    resumed,
)
from scheduler.timing.calendar_schedules import moves, open_only
from scheduler.timing.clock import to_datetime, to_micros
from scheduler.timing.schedule import OnceSchedule, Schedule, is_one_time, schedule_of

_OWED_CHANGED: Final = "the schedule of the task was changed before it could start"
_OWED_ENDED: Final = "max_runs was reached before it could start"


@dataclass(frozen=True, slots=True)
class NewTask:
    """A definition that has been checked, as it will be stored."""

    task: TaskDefinition
    text: str
    zone: str
    schedule_key: str
    source: str | None

    @property
    def words(self) -> str:
        """What a search looks at."""
        return words_of(self.task.id, self.task.name, self.task.prompt)

    def schedule(self, anchor: int) -> Schedule:
        """Return its due times, counted from `anchor`."""
        return schedule_of(self.task, self.zone, anchor)


def prepare(
    task: TaskDefinition, default_zone: str, calendars: Mapping[str, Calendar], source: str | None = None
) -> NewTask:
    """Check a definition once more if it may have been changed since it was built, and put it into its stored form.

    `calendars` are those that a task may name; `source` is what brings it; None: a program or a person, by hand. Raises
    `ValueError`.
    """
    checked = task if is_as_checked(task) else TaskDefinition.model_validate(_given(task))
    if checked.calendar is not None:
        checked = with_calendar(checked, calendars)
    text = stored_text(checked)
    zone = checked.timezone or default_zone
    return NewTask(checked, text, zone, _schedule_key(checked, zone), source)


def with_calendar(task: TaskDefinition, calendars: Mapping[str, Calendar]) -> TaskDefinition:
    """Return a definition with the calendar that it names in place of the name. Raises `InvalidTaskError`."""
    calendar = calendar_of(task)
    if calendar is None or not calendar.is_only_a_name:
        return task
    found = calendars.get(str(calendar.name))
    if found is None:
        known = ", ".join(sorted(calendars)) or "none"
        problem = f"calendar={shown(calendar.name)} is no calendar of this scheduler; its calendars are: {known}"
        hint = "give one of them, a Calendar, or TaskScheduler(calendars=…)"
        raise InvalidTaskError(task.id, problem, hint, field="calendar", value=calendar.name)
    return task.model_copy(update={"calendar": found})


def changed(task: TaskDefinition, changes: Mapping[str, Any]) -> TaskDefinition:
    """Return a definition with some fields changed, checked as a whole. Raises `ValueError`."""
    if changes.get("id", task.id) != task.id:
        problem = f"id={shown(changes['id'])}: the id of a task is permanent"
        raise InvalidTaskError(task.id, problem, "leave id out, or add a new task", field="id", value=changes["id"])
    return TaskDefinition.model_validate({**_given(task), **changes})


def change(  # noqa: PLR0913, PLR0917 (what to change, and what is known of it)
    connection: Connection,
    task_id: str,
    changes: Mapping[str, Any],
    zone: str,
    calendars: Mapping[str, Calendar],
    now: int,
    expected: TaskDefinition | None,
) -> TaskDefinition:
    """Change fields of a task as if it were added again; its source remains. Return its definition.

    Raises `TaskNotFoundError`, `InvalidTaskError`, `ValueError`, and `TaskChangedError` if it is not `expected`.
    """
    row = present(connection, task_id)
    task = definition_of(row)
    if expected is not None and task != expected:
        raise TaskChangedError(task_id)
    new = prepare(changed(task, changes), zone, calendars, row.source)
    for _, reason in add(connection, [new], now):
        raise InvalidTaskError(task_id, reason, "give a schedule with a due time to come")
    return new.task


def _given(task: TaskDefinition) -> dict[str, Any]:
    """Return the fields that were given or changed: those that may be wrong, the mutable ones always among them."""
    values = task.__dict__
    return {name: values[name] for name in task.model_fields_set | _MUTABLE if name in values}


_MUTABLE: Final = frozenset({"metadata", "context"})


def _schedule_key(task: TaskDefinition, zone: str) -> str:
    """Return a text that differs for schedules that are due at other times: a calendar that skips changes none."""
    calendar = calendar_of(task)
    if calendar is None or not moves(calendar):
        return _own_key(task, zone)
    return json.dumps([_own_key(task, zone), zone, calendar.model_dump(mode="json", exclude={"name"})])


def _own_key(task: TaskDefinition, zone: str) -> str:
    if task.rrule is not None:
        return _rule_key(task, zone)
    in_zone = None if task.cron_expression is None else zone
    interval, jitter = task.interval_seconds, task.jitter_seconds
    return _key_text(task.cron_expression, in_zone, interval, task.run_at, task.start_at, task.end_at, jitter)


def _rule_key(task: TaskDefinition, zone: str) -> str:
    exdates = sorted({str(to_micros(x)) if isinstance(x, datetime) else x.isoformat() for x in task.exdates})
    moments = [None if x is None else to_micros(x) for x in (task.start_at, task.end_at)]
    return json.dumps([task.rrule, zone, *moments, task.jitter_seconds, exdates])


@lru_cache(maxsize=4096)
def _key_text(cron: str | None, zone: str | None, interval: int | None, *others: datetime | int | None) -> str:
    return json.dumps([cron, zone, interval, *(to_micros(x) if isinstance(x, datetime) else x for x in others)])


# --- Adding ---


def add(
    connection: Connection, new_tasks: Sequence[NewTask], now: int, *, refuse_passed: bool = False
) -> list[tuple[str, str]]:
    """Add tasks, or replace those with the same id; return those that are left out, each with the reason.

    A task that is not stored, or is finished, is left out if it has no due time left; with `refuse_passed` it is an
    error if its id was never stored. Raises `InvalidTaskError`; the caller's transaction is undone.
    """
    first_due = _FirstDue(now)
    left_out: list[tuple[str, str]] = []
    for some in chunks(new_tasks):  # whose rows are let go of before the next ones are made
        left_out += _add_some(connection, some, first_due, refuse_passed=refuse_passed)
    return left_out


_INSERT: Final = Bulk(lambda given: given.insert(tasks, tasks.c.keys()))
_REPLACEABLE: Final = [column for column in tasks.c if column.name not in {"id", "last_seq"}]
_REPLACE: Final = Bulk(
    lambda given: (
        update(tasks)
        .where(tasks.c.id == given("row_id"))
        .values({column: given(f"new_{column.name}", type(column.type)) for column in _REPLACEABLE})
    )
)


def _add_some(
    connection: Connection, new_tasks: Sequence[NewTask], first_due: "_FirstDue", *, refuse_passed: bool
) -> list[tuple[str, str]]:
    stored = _existing(connection, [new.task.id for new in new_tasks])
    purged = _purged(connection, [new.task.id for new in new_tasks if new.task.id not in stored])
    inserted, updated, left_out = [], [], []
    tags_of: dict[str, Sequence[str]] = {}
    for new in new_tasks:
        row, record = stored.get(new.task.id), purged.get(new.task.id)
        reason = _nothing_left(row, record, new, first_due)
        if reason is not None:
            if refuse_passed and row is None and record is None:
                raise _refusal(new, first_due.now)
            left_out.append((new.task.id, reason))
            continue
        if new.task.tags:
            tags_of[new.task.id] = new.task.tags
        if row is None:
            inserted.append(_first_values(new, first_due, record))
        elif row.removed:
            updated.append(_for_update(_first_values(new, first_due)))
        else:
            updated.append(_for_update(_replacement(connection, row, new, first_due)))
    tagging.store(connection, tags_of, [values["row_id"] for values in updated])
    if inserted:
        connection.execute_many(_INSERT, inserted)
        forget_purged(connection, [values["id"] for values in inserted if values["id"] in purged])
    if updated:
        connection.execute_many(_REPLACE, updated)
        unloadable.forget(connection, [values["row_id"] for values in updated])
        finish_if_over(connection, [values["row_id"] for values in updated], first_due.now)
    return left_out


def _nothing_left(row: TaskRow | None, record: PurgedRow | None, new: NewTask, first_due: "_FirstDue") -> str | None:
    """Return why a task that is not stored, or is finished, has no due time left; None if it has, or never had one.

    `row` is the task as it is stored, `record` what is kept of it if it was purged.
    """
    task = new.task
    if row is not None and not row.removed and (row.finished_at is None or row.schedule == new.schedule_key):
        return None
    if record is not None and task.max_runs is not None and _started_runs(record, new) >= task.max_runs:
        return f"max_runs={task.max_runs} was reached"
    if first_due.of(new) is not None:
        return None
    for field in ("run_at", "end_at"):
        moment = getattr(task, field)
        if moment is not None and to_micros(moment) <= first_due.now:
            return f"{field}={moment.isoformat()} has passed"
    if task.end_at is not None:
        return f"no due time is left before end_at={task.end_at.isoformat()}"
    was_stored = row is not None or record is not None
    field = "cron_expression" if task.rrule is None else "rrule"
    return f"{field}={getattr(task, field)!r} does not come again" if was_stored else None


def _started_runs(record: PurgedRow | None, new: NewTask) -> int:
    """Return how many scheduled runs a task had before it was purged; a changed schedule begins again."""
    return int(record.started_runs) if record is not None and record.schedule == new.schedule_key else 0


def _for_update(values: dict[str, Any]) -> dict[str, Any]:
    return {"row_id": values["id"], **{f"new_{column.name}": values[column.name] for column in _REPLACEABLE}}


_BY_IDS: Final = Query(TaskRow, lambda: select(tasks).where(tasks.c.id.in_(bindparam("ids", expanding=True))))


def _existing(connection: Connection, ids: Sequence[str]) -> dict[str, TaskRow]:
    found: dict[str, TaskRow] = {}
    for chunk in chunks(ids):
        found.update((row.id, row) for row in connection.execute(_BY_IDS, {"ids": chunk}))
    return found


_PURGED_BY_IDS: Final = Query(
    PurgedRow, lambda: select(purged_table).where(purged_table.c.id.in_(bindparam("ids", expanding=True)))
)


def _purged(connection: Connection, ids: Sequence[str]) -> dict[str, PurgedRow]:
    """Return what is kept of those of the ids whose tasks were purged."""
    return {row.id: row for chunk in chunks(ids) for row in connection.execute(_PURGED_BY_IDS, {"ids": chunk})}


class _FirstDue:
    """The first due times of schedules that begin now; tasks with the same schedule share the computation."""

    def __init__(self, now: int) -> None:
        self.now = now
        self._known: dict[str, int | None] = {}

    def of(self, new: NewTask) -> int | None:
        """Return when a task is due first, or None if it never is."""
        if new.schedule_key in self._known:
            return self._known[new.schedule_key]
        due = new.schedule(self.now).next_after(self.now)
        if not new.task.jitter_seconds:  # jitter differs from task to task
            self._known[new.schedule_key] = due
        return due


def _first_values(new: NewTask, first_due: _FirstDue, record: PurgedRow | None = None) -> dict[str, Any]:
    """Return the row of a task whose schedule begins now. Raises `InvalidTaskError` if it is never due."""
    due = first_due.of(new)
    if due is None:
        raise _refusal(new, first_due.now)
    if open_only(new.task, new.zone, OnceSchedule(due)).next_after(due - 1) is None:
        _refuse_never_open(new, first_due.now)
    return {
        "id": new.task.id,
        "definition": new.text,
        "schedule": new.schedule_key,
        "zone": new.zone,
        "anchor": first_due.now,
        "next_due": due,
        "paused": int(not new.task.enabled),
        "pause_reason": None,
        "started_runs": _started_runs(record, new),
        "failures": 0,
        "last_seq": 0,
        "finished_at": None,
        "removed": 0,
        "problem": None,
        "source": new.source,
        "warn_at": _warn_at(new.task, first_due.now),
        "paused_at": None if new.task.enabled else first_due.now,
        "pause_until": None,
        "words": new.words,
    }


def _warn_at(task: TaskDefinition, now: int) -> int | None:
    """Return when to say that the last due time of a task is near."""
    if task.end_at is None:
        return None
    begin = now if task.start_at is None else max(now, to_micros(task.start_at))
    return warning_time(begin, to_micros(task.end_at))


@dataclass(frozen=True, slots=True)
class OtherSources:
    """What is known of the other sources in the store when one of them is applied."""

    adopted: frozenset[str] = frozenset()
    """Sources that are the applied one by another name."""
    gone: frozenset[str] = frozenset()
    """Files that do not exist any more."""
    may_adopt_gone: bool = False
    """Whether a file that is gone is adopted by a source that brings a task of it."""


_ADOPT: Final = Statement(
    lambda: (
        update(tasks)
        .where(tasks.c.source == bindparam("of_source"), tasks.c.removed == 0)
        .values(source=bindparam("into"))
    )
)


def apply(  # noqa: PLR0913 (what to apply, and how)
    connection: Connection, new_tasks: Sequence[NewTask], source: str, now: int, others: OtherSources, *, prune: bool
) -> TaskChanges:
    """Add or replace tasks and, with `prune`, remove the others that `source` brought. Raises `InvalidTaskError`.

    What the sources have brought that it adopts is treated as its own.
    """
    existing = _existing(connection, [new.task.id for new in new_tasks])
    changes = {new.task.id: _change(existing.get(new.task.id), new) for new in new_tasks}
    related = {row.source for row in existing.values() if not row.removed}
    left_out = add(connection, new_tasks, now)
    adopted = others.adopted | (others.gone & related if others.may_adopt_gone else frozenset())
    found = [each for each in sorted(adopted) if each in related or _brought_by(connection, each)]
    for each in found:
        connection.execute(_ADOPT, {"of_source": each, "into": source})
    given = {new.task.id for new in new_tasks}
    ended = [task_id for task_id in _brought_by(connection, source) if task_id not in given] if prune else []
    for task_id in ended:
        remove(connection, task_id, now)
    for task_id, _ in left_out:
        del changes[task_id]
    ids = {change: tuple(task_id for task_id in changes if changes[task_id] == change) for change in _CHANGES}
    orphaned = [(task_id, each) for each in sorted(others.gone - adopted) for task_id in _brought_by(connection, each)]
    more = {"adopted": tuple(found), "orphaned": tuple(orphaned)}
    return TaskChanges(**ids, **more, removed=tuple(ended), left_out=tuple(left_out))


_SOURCES: Final = Statement(
    lambda: select(tasks.c.source).where(tasks.c.source.is_not(None), tasks.c.removed == 0).distinct()
)


def sources(connection: Connection) -> list[str]:
    """Return the sources of the tasks that are stored."""
    return connection.execute(_SOURCES).scalars()


_PAUSE: Final = ("paused", "pause_reason", "paused_at", "pause_until")
_CHANGES: Final = ("added", "changed", "kept")


def _change(row: TaskRow | None, new: NewTask) -> str:
    if row is None or row.removed:
        return "added"
    same = row.schedule == new.schedule_key and row.problem is None and read_definition(row) == new.task
    return "kept" if same else "changed"


_OF_SOURCE: Final = Statement(
    lambda: (
        select(tasks.c.id).where(tasks.c.source == bindparam("of_source"), tasks.c.removed == 0).order_by(tasks.c.id)
    )
)


def _brought_by(connection: Connection, source: str) -> list[str]:
    return connection.execute(_OF_SOURCE, {"of_source": source}).scalars()


def _refuse_never_open(new: NewTask, now: int) -> None:
    """Raise `InvalidTaskError` for a task whose due times are all closed."""
    if open_only(new.task, new.zone, new.schedule(now)).next_after(now) is not None:
        return
    calendar = calendar_of(new.task)
    problem = f"calendar={shown(str(calendar))} is closed at every due time"
    hint = "give another schedule, or a calendar with on_closed='next_open' or 'previous_open'"
    raise InvalidTaskError(new.task.id, problem, hint, field="calendar", value=calendar)


def _refusal(new: NewTask, now: int) -> InvalidTaskError:
    """Return the error for a task that is never due."""
    task = new.task
    if task.run_at is not None:
        problem = f"run_at={task.run_at.isoformat()} has passed (it is {to_datetime(now).isoformat()})"
        hint = "give an instant in the future, or use trigger_task to run it now"
        return InvalidTaskError(task.id, problem, hint, field="run_at", value=task.run_at)
    if task.end_at is not None:
        problem = f"end_at={task.end_at.isoformat()} leaves no due time after {to_datetime(now).isoformat()}"
        return InvalidTaskError(task.id, problem, "give a later end_at", field="end_at", value=task.end_at)
    field = "cron_expression" if task.rrule is None else "rrule"
    value = getattr(task, field)
    problem = f"{field}={value!r} has no due time before the year 2200"
    return InvalidTaskError(task.id, problem, "give one that comes", field=field, value=value)


def _replacement(connection: Connection, row: TaskRow, new: NewTask, first_due: _FirstDue) -> dict[str, Any]:
    """Return the changed columns of a task that is added again."""
    now = first_due.now
    if row.schedule != new.schedule_key:
        account_for_owed(connection, row, now, _OWED_CHANGED)
        values = _first_values(new, first_due)
        values.update({name: getattr(row, name) for name in _PAUSE})
    else:
        values = {**row._asdict(), "definition": new.text, "zone": new.zone, "problem": None, "source": new.source}
        values["words"] = new.words
        values.update(_within_max_runs(connection, row, new, now))
    if not new.task.enabled:
        if values["next_due"] == row.next_due:
            values.update(past_owed(connection, row, new.task, now))
        since = row.paused_at if row.paused else now
        values.update(paused=1, pause_reason=None, paused_at=since, pause_until=None)
    elif row.paused and not _was_enabled(row.definition):
        values.update(resumed(new.task, new.schedule(values["anchor"]), values["next_due"], now))
    return values


def _within_max_runs(connection: Connection, row: TaskRow, new: NewTask, now: int) -> dict[str, Any]:
    """Finish, or take up again, a task whose schedule is the same and whose `max_runs` may have changed."""
    most = new.task.max_runs
    if is_one_time(new.task):
        return {}
    if most is not None and row.started_runs >= most:
        account_for_owed(connection, row, now, _OWED_ENDED)
        return {"next_due": None}
    if row.next_due is None:
        anchor = min(row.anchor, now)  # one that is still to come is of a clock that was ahead
        due = new.schedule(anchor).next_after(now)
        return {} if due is None else {"anchor": anchor, "next_due": due, "finished_at": None}
    return {}


def _was_enabled(definition: str) -> bool:
    try:
        return json.loads(definition).get("enabled", True) is not False
    except (ValueError, AttributeError):
        return True
