"""Pages of the history, newest first: of one task, of a tag, of some statuses; fast at any length of the history."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, bindparam, func, or_, select

from scheduler.models import OPEN_STATUSES, Run, RunStatus
from scheduler.store import tagging
from scheduler.store.database.statements import Connection, Query
from scheduler.store.history import to_run
from scheduler.store.rows import RunRow
from scheduler.store.schema import IS_OVER, IS_SKIPPED, has_status, runs
from scheduler.timing.clock import SECOND

_FEW_TASKS: Final = 64
"""The runs of so many tasks are read task by task; of more, the newest runs of all are looked through."""
_EARLY: Final = 3_600 * SECOND
"""A row is not written longer before its due time than this."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs of the history are wanted."""

    limit: int
    task_id: str | None = None
    tag: str | None = None
    statuses: tuple[RunStatus, ...] = ()
    """Any of these; empty: all."""
    since: int | None = None
    """The earliest `scheduled_at`, in microseconds since 1970."""
    until: int | None = None
    """The first `scheduled_at` that is too late."""
    before: str | None = None
    """Only runs that come after this one in the listing: the last one of the page before."""


def read_runs(connection: Connection, wanted: RunFilter) -> list[Run]:
    """Return runs, newest first: the order in which their rows were made."""
    return [to_run(row) for row in _rows(connection, wanted)]


def _rows(connection: Connection, wanted: RunFilter) -> Iterable[RunRow]:
    if wanted.tag is None:
        return _of_all(connection, wanted) if wanted.task_id is None else _of_task(connection, wanted)
    if wanted.task_id is not None:
        is_tagged = tagging.is_tagged(connection, wanted.task_id, wanted.tag)
        return _of_task(connection, wanted) if is_tagged else []
    tagged = tagging.ever_tagged(connection, wanted.tag, _FEW_TASKS + 1)
    if len(tagged) > _FEW_TASKS:
        return _of_all(connection, wanted)
    each = (replace(wanted, task_id=task_id) for task_id in tagged)
    return _newest([row for one in each for row in _of_task(connection, one)], wanted.limit)


def _newest(rows: Sequence[RunRow], limit: int) -> Sequence[RunRow]:
    return sorted(rows, key=lambda row: row.id, reverse=True)[:limit]


def _of_task(connection: Connection, wanted: RunFilter) -> Sequence[RunRow]:
    values = _values(wanted)
    return connection.execute(_query_of_task(wanted.statuses, frozenset(values)), values).all()


def _of_all(connection: Connection, wanted: RunFilter) -> Sequence[RunRow]:
    """Return the runs of all tasks, or of those with a tag: each status has an index of its own."""
    values = _values(wanted)
    given = frozenset(values)
    parts: list[RunStatus | None] = [*wanted.statuses] or [None]
    queries = [_query_of_all(part, given) for part in parts]
    if "since" in given and not wanted.statuses:
        queries.append(_query_of_old_skipped(given))
    rows = [row for query in queries for row in connection.execute(query, values)]
    return rows if len(queries) == 1 else _newest(rows, wanted.limit)


def _values(wanted: RunFilter) -> dict[str, Any]:
    """Return what is given for the queries."""
    floor = None if wanted.since is None else _floor(wanted.since - _EARLY)
    named = {"task_id": wanted.task_id, "tag": wanted.tag, "since": wanted.since, "floor": floor}
    named |= {"until": wanted.until, "before": wanted.before, "limit": wanted.limit}
    return {name: value for name, value in named.items() if value is not None}


def _floor(moment: int) -> str:
    """Return what the ids of runs that are made from an instant on are not below: they begin with milliseconds."""
    digits = f"{max(moment // 1_000, 0):012x}"
    return f"{digits[:8]}-{digits[8:]}"


# --- Queries, one for each combination of what is given ---


@cache
def _query_of_task(statuses: tuple[RunStatus, ...], given: frozenset[str]) -> Query[RunRow]:
    """Return what asks for the runs of one task, by their numbers."""
    other = runs.alias("other")
    is_of_task = other.c.task_id == bindparam("task_id")
    own_number = select(other.c.seq).where(other.c.id == bindparam("before"), is_of_task).scalar_subquery()
    # The run may be one of another task, or have been trimmed meanwhile.
    following = select(func.max(other.c.seq) + 1).where(is_of_task, other.c.id < bindparam("before"))
    conditions = [runs.c.task_id == bindparam("task_id"), *_in_time(given)]
    if statuses:
        conditions.append(or_(*map(has_status, statuses)))
    if "before" in given:
        conditions.append(runs.c.seq < func.coalesce(own_number, following.scalar_subquery()))
    return Query(RunRow, lambda: _page(conditions).order_by(runs.c.seq.desc()))


@cache
def _query_of_all(status: RunStatus | None, given: frozenset[str]) -> Query[RunRow]:
    """Return what asks for the runs of all tasks; None: of all statuses, but for old rows of skipped due times."""
    conditions = [*_in_time_and_of_tag(given)]
    # Few are running, and those that were skipped of late have an index by time: not one by one in the order of ids.
    is_sorted = status is RunStatus.RUNNING or ("since" in given and status is RunStatus.SKIPPED)
    run_id = runs.c.id.concat("") if is_sorted else runs.c.id
    if "before" in given:
        conditions.append(run_id < bindparam("before"))
    if status is not None:
        conditions.append(has_status(status))
    if status is not None and status not in OPEN_STATUSES:
        conditions.append(IS_OVER)  # word for word the condition of the index
    if "since" in given and status is not RunStatus.SKIPPED:
        conditions.append(run_id >= bindparam("floor"))
    return Query(RunRow, lambda: _page(conditions).order_by(run_id.desc()))


@cache
def _query_of_old_skipped(given: frozenset[str]) -> Query[RunRow]:
    """Return what asks for skipped rows that are older than the time they stand for: others were added to them."""
    conditions = [IS_SKIPPED, *_in_time_and_of_tag(given), runs.c.id < bindparam("floor")]
    if "before" in given:
        conditions.append(runs.c.id < bindparam("before"))
    return Query(RunRow, lambda: _page(conditions).order_by(runs.c.id.concat("").desc()))


def _page(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    return select(runs).where(*conditions).limit(bindparam("limit"))


def _in_time(given: frozenset[str]) -> list[ColumnElement[bool]]:
    conditions = {
        "since": runs.c.scheduled_at >= bindparam("since"),
        "until": runs.c.scheduled_at < bindparam("until"),
    }
    return [condition for name, condition in conditions.items() if name in given]


def _in_time_and_of_tag(given: frozenset[str]) -> list[ColumnElement[bool]]:
    return [*_in_time(given), tagging.has_tag(runs.c.task_id)] if "tag" in given else _in_time(given)
