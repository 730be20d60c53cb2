"""Why runs are pending: what has to happen before they start, in words."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select

from scheduler.models import Run, RunStatus, RunTrigger
from scheduler.store.database.statements import Connection, Query
from scheduler.store.schema import holds_thread, is_open, runs, tasks
from scheduler.timing.clock import to_datetime

_SLOT: Final = "waits for a free slot"
_BACKFILL: Final = "waits until nothing else is due: it is part of a backfill"
_DOES: Final = {
    RunStatus.RUNNING: "is running",
    RunStatus.WAITING: "waits for an answer",
    RunStatus.PENDING: "comes first",
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

    @property
    def rank(self) -> tuple[bool, tuple[bool, int, str]]:
        """Its order among those that are in the way: what runs comes before what waits."""
        return (self.status == RunStatus.PENDING, self.place)

    @property
    def place(self) -> tuple[bool, int, str]:
        """Where it stands among runs that wait: first those that have started, then the oldest."""
        return (self.attempt == 0, self.ready_at, self.id)


class _Problem(NamedTuple):
    id: str
    problem: str


def _open_runs(column: str) -> Query[_OpenRun]:
    return Query(
        _OpenRun,
        lambda: select(*(runs.c[name] for name in _OpenRun._fields)).where(
            runs.c[column].in_(bindparam("values", expanding=True)), is_open()
        ),
    )


_THESE: Final = _open_runs("id")
_OF_TASKS: Final = _open_runs("task_id")
_ON_THREADS: Final = Query(
    _OpenRun,
    lambda: select(*(runs.c[name] for name in _OpenRun._fields)).where(
        runs.c.thread_id.in_(bindparam("values", expanding=True)), holds_thread()
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
    waiting = connection.execute(_THESE, {"values": ids}).all()
    task_ids, threads = sorted({each.task_id for each in waiting}), sorted({each.thread_id for each in waiting})
    of_tasks = sorted(connection.execute(_OF_TASKS, {"values": task_ids}), key=attrgetter("rank"))
    on_threads = sorted(connection.execute(_ON_THREADS, {"values": threads}), key=attrgetter("rank"))
    problems = connection.execute(_PROBLEMS, {"values": task_ids}).all()
    broken = {row.id: row.problem for row in problems}
    reasons = {}
    for each in waiting:
        if each.task_id in broken:
            reasons[each.id] = f"its task cannot run: {broken[each.task_id]}"
        else:
            reasons[each.id] = _why(each, of_tasks, on_threads, now)
    return [run.model_copy(update={"pending_reason": reasons[run.id]}) if run.id in reasons else run for run in found]


def _why(run: _OpenRun, of_tasks: Iterable[_OpenRun], on_threads: Iterable[_OpenRun], now: int) -> str:
    if run.ready_at > now:
        return f"{'tries again' if run.attempt else 'starts'} at {to_datetime(run.ready_at).isoformat(sep=' ')}"
    if run.exclusive and run.trigger != RunTrigger.BACKFILL:
        for other in of_tasks:
            if other.task_id == run.task_id and other.trigger != RunTrigger.BACKFILL and _is_before(other, run):
                return f"waits for run {other.id} of its task, which {_DOES[RunStatus(other.status)]}"
    for other in on_threads:
        if run.checkpointed and other.thread_id == run.thread_id and _is_before(other, run):
            return f"waits for the conversation {run.thread_id}, held by run {other.id} of {other.task_id}"
    return _BACKFILL if run.trigger == RunTrigger.BACKFILL else _SLOT


def _is_before(other: _OpenRun, run: _OpenRun) -> bool:
    """Tell whether another run is in the way of one that waits."""
    if other.id == run.id:
        return False
    return other.status != RunStatus.PENDING or other.place < run.place
