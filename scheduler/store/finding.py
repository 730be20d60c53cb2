"""Pages of tasks by id: by tag, by words, by source, by what they are doing; finished ones if they are asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, select

from scheduler.store import tasks as task_rows
from scheduler.store import unloadable
from scheduler.store.database.statements import Connection, Query
from scheduler.store.listing import Listed, TaskState, listed_task
from scheduler.store.schema import tags, tasks
from scheduler.store.searching import pattern
from scheduler.store.tasks import ListedRow

_CHUNK: Final = 256
_TAGGED: Final = tags.join(tasks, tags.c.task_id == tasks.c.id)
_IS_NOT_FINISHED: Final = tasks.c.finished_at.is_(None)
_HAS_NO_DUE_TIME: Final = and_(_IS_NOT_FINISHED, tasks.c.paused == 0, tasks.c.next_due.is_(None))
_MAY_BE: Final[dict[TaskState | None, ColumnElement[bool]]] = {
    None: _IS_NOT_FINISHED,
    TaskState.SCHEDULED: and_(_IS_NOT_FINISHED, tasks.c.paused == 0, tasks.c.next_due.is_not(None)),
    TaskState.PAUSED: and_(_IS_NOT_FINISHED, tasks.c.paused == 1),
    TaskState.RUNNING: _HAS_NO_DUE_TIME,
    TaskState.WAITING: _HAS_NO_DUE_TIME,
    TaskState.FINISHED: and_(tasks.c.finished_at.is_not(None), tasks.c.removed == 0),
    TaskState.UNUSABLE: _IS_NOT_FINISHED,
}
"""What the row of a task meets that is in a state; None: in any but `finished`."""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks are wanted."""

    limit: int
    tag: str | None = None
    search: str | None = None
    """A text that the id, the name or the beginning of the prompt contains, in any case."""
    state: TaskState | None = None
    source: str | None = None
    after: str | None = None
    """Only ids that come after this one: the last id of the page before."""


def find_tasks(connection: Connection, wanted: TaskFilter, now: int) -> list[Listed]:
    """Return tasks, ordered by id."""
    found = _found(connection, wanted, now)
    return list(islice((task for task in found if wanted.state in {None, task.state}), wanted.limit))


def _found(connection: Connection, wanted: TaskFilter, now: int) -> Iterator[Listed]:
    """Yield the tasks whose rows fit; whether a task can be used is seen from its definition only."""
    left_by = unloadable.left_by(connection, now)
    after, size = wanted.after, wanted.limit if wanted.state is None else max(wanted.limit, _CHUNK)
    while True:
        rows = _rows(connection, wanted, after, size)
        idle = [row.id for row in rows if row.next_due is None and row.finished_at is None]
        open_runs = task_rows.open_statuses(connection, idle)
        yield from (listed_task(row, open_runs.get(row.id), left_by) for row in rows)
        if len(rows) < size:
            return
        after = rows[-1].id


def _rows(connection: Connection, wanted: TaskFilter, after: str | None, size: int) -> Sequence[ListedRow]:
    like = None if wanted.search is None else pattern(wanted.search)
    named = {"tag": wanted.tag, "like": like, "source": wanted.source, "after": after}
    given = {name: value for name, value in named.items() if value is not None}
    query = _query(wanted.state, frozenset(given))
    return connection.execute(query, {**given, "limit": size}).all()


@cache
def _query(state: TaskState | None, given: frozenset[str]) -> Query[ListedRow]:
    # With a tag, in the order of its own index: few tasks may have it.
    task_id, source = (tags.c.task_id, _TAGGED) if "tag" in given else (tasks.c.id, tasks)
    conditions = {
        "tag": tags.c.tag == bindparam("tag"),
        "like": tasks.c.words.like(bindparam("like"), escape="\\"),
        "source": tasks.c.source == bindparam("source"),
        "after": task_id > bindparam("after"),
    }
    columns: list[Any] = [tasks.c[name] for name in ListedRow._fields]
    chosen = [conditions[name] for name in sorted(given)]
    page = select(*columns).select_from(source).where(_MAY_BE[state], *chosen)
    return Query(ListedRow, lambda: page.order_by(task_id).limit(bindparam("limit")))
