"""Why runs are pending: what has to happen before they start, in words."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, bindparam, literal_column, not_, or_, select

from scheduler.models import Run, RunStatus, RunTrigger
from scheduler.store.database.statements import Connection, Query
from scheduler.store.schema import IS_PENDING, holds_thread, is_open, runs, tasks
from scheduler.store.tasks import chunks
from scheduler.timing.clock import to_datetime

_R = TypeVar("_R", bound=tuple[object, ...])

_SLOT: Final = "waits for its turn: for a scheduler that has a free slot and can run its task"
_BACKFILL: Final = "waits until nothing else is due: it is part of a backfill"
_DOES: Final = {
    RunStatus.RUNNING: "is running",
    RunStatus.WAITING: "waits for an answer",
    RunStatus.PENDING: "will be tried again",
}
"""What the run does that another one waits for."""


class _OpenRun(NamedTuple):
    id: str
    task_id: str
    status: str
    trigger: str
    attempt: int
    ready_at: int
    exclusive: int
    checkpointed: int
    thread_id: str


class _Problem(NamedTuple):
    id: str
    problem: str


def _open_runs(column: str, *conditions: ColumnElement[bool]) -> Query[_OpenRun]:
    return Query(
        _OpenRun,
        lambda: select(*(runs.c[name] for name in _OpenRun._fields)).where(
            runs.c[column].in_(bindparam("values", expanding=True)), is_open(), *conditions
        ),
    )


def _has_begun() -> ColumnElement[bool]:
    """Return the condition that a run is in the way of others: of those that have not, thousands may wait."""
    return or_(not_(IS_PENDING), runs.c.attempt > literal_column("0"))


_THESE: Final = _open_runs("id")
_OF_TASKS: Final = _open_runs("task_id", _has_begun())
_ON_THREADS: Final = Query(
    _OpenRun,
    lambda: select(*(runs.c[name] for name in _OpenRun._fields)).where(
        runs.c.thread_id.in_(bindparam("values", expanding=True)), holds_thread(), _has_begun()
    ),
)
_PROBLEMS: Final = Query(
    _Problem,
    lambda: select(tasks.c.id, tasks.c.problem).where(
        tasks.c.id.in_(bindparam("values", expanding=True)), tasks.c.problem.is_not(None)
    ),
)


def with_reasons(connection: Connection, found: Sequence[Run], now: int) -> list[Run]:
    """Return runs, those that are pending with the reason."""
    ids = [run.id for run in found if run.status is RunStatus.PENDING]
    if not ids:
        return list(found)
    waiting = _among(connection, _THESE, ids)
    task_ids = {each.task_id for each in waiting}
    of_tasks = [each for each in _among(connection, _OF_TASKS, task_ids) if each.trigger != RunTrigger.BACKFILL]
    on_threads = _among(connection, _ON_THREADS, {each.thread_id for each in waiting if each.checkpointed})
    broken = {row.id: row.problem for row in _among(connection, _PROBLEMS, task_ids)}
    first_of = {run.task_id: run for run in sorted(of_tasks, key=_rank, reverse=True)}
    holder_of = {run.thread_id: run for run in sorted(on_threads, key=_rank, reverse=True)}
    reasons: dict[str, str] = {}
    for run in waiting:
        if run.task_id in broken:
            reasons[run.id] = f"its task cannot run: {broken[run.task_id]}"
        else:
            reasons[run.id] = _why(run, first_of.get(run.task_id, run), holder_of.get(run.thread_id, run), now)
    return [run.model_copy(update={"pending_reason": reasons[run.id]}) if run.id in reasons else run for run in found]


def _among(connection: Connection, query: Query[_R], values: Iterable[str]) -> list[_R]:
    """Return the rows of a query for any number of values."""
    return [row for some in chunks(sorted(values)) for row in connection.execute(query, {"values": some})]


def _rank(run: _OpenRun) -> tuple[bool, int, str]:
    """Return the order in which runs are in the way of others: what runs or asks before what is tried again."""
    return (run.status == RunStatus.PENDING, run.ready_at, run.id)


def _why(run: _OpenRun, first: _OpenRun, holder: _OpenRun, now: int) -> str:
    """Say why a run waits, given the first run in the way of others of its task, and of its thread, else itself."""
    if run.ready_at > now:
        return f"{'tries again' if run.attempt else 'starts'} at {to_datetime(run.ready_at).isoformat(sep=' ')}"
    is_backfill = run.trigger == RunTrigger.BACKFILL
    if run.exclusive and not is_backfill and first.id != run.id:
        return f"waits for run {first.id} of its task, which {_DOES[RunStatus(first.status)]}"
    if run.checkpointed and holder.id != run.id:
        return f"waits for the conversation {run.thread_id}, held by run {holder.id} of {holder.task_id}"
    return _BACKFILL if is_backfill else _SLOT
