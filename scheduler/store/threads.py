"""Threads: one whose graph has a checkpointer belongs to one run at a time, across tasks and processes."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Protocol

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, exists, not_, or_, select, tuple_, update

from scheduler.models import RunStatus, TaskDefinition
from scheduler.store import unloadable
from scheduler.store.claims import Claimer
from scheduler.store.database.statements import Connection, Query, Statement
from scheduler.store.schema import has_status, holds_thread, runs, tasks
from scheduler.thread_ids import shared_thread

_in_thread = runs.alias("in_thread")


class WaitingRun(Protocol):
    """What is to be known of a run that waits."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def thread_id(self) -> str:
        """Its thread."""
        ...

    @property
    def attempt(self) -> int:
        """How many attempts it has had."""
        ...

    @property
    def checkpointed(self) -> int:
        """1 if it is known that its graph has a checkpointer."""
        ...


class _OpenThread(NamedTuple):
    thread_id: str
    status: str


class Threads:
    """The threads that a pass meets: which have an open run, and which it has taken itself."""

    def __init__(self, connection: Connection, claimer: Claimer, now: int) -> None:
        """Take the transaction, and who claims when."""
        self._connection = connection
        self._claimer = claimer
        self._now = now
        self.held: frozenset[str] = claimer.held()
        """Those that the program itself is using: no run starts on them."""
        self._taken: set[str] = set(self.held)
        """Threads that this pass gives to nobody any more: it has claimed a run on them, or found one to wait for."""
        self._claimed: set[str] = set(self.held)
        """Those on which it has claimed a run, and those that are held."""
        self._open: dict[str, str] = {}

    def look_at(self, due: Iterable[TaskDefinition]) -> None:
        """See which threads of tasks that are due have an open run."""
        found = (shared_thread(task) for task in due if self._claimer.is_checkpointed(task))
        shared = {thread_id for thread_id in found if thread_id is not None}
        if shared:
            self._open |= self._find_open(sorted(shared))

    def is_free_for(self, task: TaskDefinition) -> bool:
        """Tell whether no run has the thread of the session of a task that is due."""
        thread_id = shared_thread(task)
        is_taken = thread_id in self._taken or thread_id in self._open
        return not is_taken or not self._claimer.is_checkpointed(task)

    def is_asking(self, task: TaskDefinition) -> bool:
        """Tell whether a run waits for a human on the thread of the session of a task that is due."""
        thread_id = shared_thread(task)
        is_waiting = thread_id is not None and self._open.get(thread_id) == RunStatus.WAITING
        return is_waiting and self._claimer.is_checkpointed(task)

    def take(self, thread_id: str) -> bool:
        """Take a thread for a due time; return False if a run has it: then the due time is next.

        A younger run that waits on the thread does not start in this pass.
        """
        is_free = thread_id not in self._taken and thread_id not in self._open
        self._taken.add(thread_id)
        if is_free:
            self._claimed.add(thread_id)
        return is_free

    def take_for(self, run: WaitingRun) -> bool:
        """Take the thread of a waiting run whose graph has a checkpointer; return False if another run has it.

        The run is then marked, so that it does not stand in the way of others in a query for what may start.
        """
        if not run.checkpointed:
            # A process that did not know the graph has queued it.
            self._connection.execute(_MARK_CHECKPOINTED, {"run": run.id})
            if run.thread_id in self._find_open([run.thread_id], besides=run.id):
                return False
        if run.thread_id in self._taken:
            return False
        self._taken.add(run.thread_id)
        self._claimed.add(run.thread_id)
        return True

    def take_if_free(self, run: WaitingRun) -> bool:
        """Take the thread of a run of a backfill, unless another run has it; it stays unmarked, and in nobody's way.

        One that has started has its thread: what waits there waits for it.
        """
        if run.attempt > 0:
            is_free = run.thread_id not in self._claimed and not self._is_taken(run.id)
        else:
            is_free = run.thread_id not in self._taken and not self._find_open([run.thread_id], besides=run.id)
        if not is_free:
            return False
        self._claimed.add(run.thread_id)
        self._taken.add(run.thread_id)
        return True

    def _is_taken(self, run_id: str) -> bool:
        return bool(self._connection.execute(_TAKEN, {"run": run_id, "now": self._now}).scalars())

    def _find_open(self, threads: Sequence[str], besides: str = "") -> dict[str, str]:
        """Return which of the threads have an open run, and its status; `waiting` before others."""
        found: dict[str, str] = {}
        for row in self._connection.execute(_OPEN, {"threads": threads, "besides": besides, "now": self._now}):
            if found.get(row.thread_id) != RunStatus.WAITING:
                found[row.thread_id] = row.status
        return found


_RUNNING_ON: Final = Statement(
    lambda: (
        select(runs.c.id)
        .where(runs.c.thread_id == bindparam("thread"), holds_thread(), has_status(RunStatus.RUNNING))
        .limit(1)
    )
)


def is_in_use(connection: Connection, thread_id: str) -> bool:
    """Tell whether a run is running on a thread, in whichever process."""
    return bool(connection.execute(_RUNNING_ON, {"thread": thread_id}).scalars())


_OPEN_ON: Final = Statement(
    lambda: (
        select(runs.c.id).where(runs.c.thread_id == bindparam("thread"), holds_thread()).order_by(runs.c.id).limit(1)
    )
)


def open_run_on(connection: Connection, thread_id: str) -> str | None:
    """Return a run that is open on a thread, the oldest; None if there is none."""
    found = connection.execute(_OPEN_ON, {"thread": thread_id}).scalars()
    return str(found[0]) if found else None


_MARK_CHECKPOINTED: Final = Statement(lambda: update(runs).where(runs.c.id == bindparam("run")).values(checkpointed=1))
_OPEN: Final = Query(
    _OpenThread,
    lambda: select(runs.c.thread_id, runs.c.status).where(
        runs.c.thread_id.in_(bindparam("threads", expanding=True)),
        holds_thread(),
        runs.c.id != bindparam("besides"),
        not_(_is_stuck(runs)),
    ),
)


def _is_stuck(run: FromClause) -> ColumnElement[bool]:
    """Return the condition that a run waits although its task is quarantined, or no scheduler can load it.

    Nobody waits for such a run.
    """
    is_quarantined = exists().where(tasks.c.id == run.c.task_id, tasks.c.problem.is_not(None)).correlate(run)
    return and_(has_status(RunStatus.PENDING, run), or_(is_quarantined, unloadable.is_left_by_all(run.c.task_id)))


def thread_is_taken() -> ColumnElement[bool]:
    """Return the condition that another run has the thread of a run that waits, or has it first."""
    return exists().where(
        _in_thread.c.thread_id == runs.c.thread_id,
        holds_thread(_in_thread),
        _in_thread.c.id != runs.c.id,
        not_(_is_stuck(_in_thread)),
        or_(
            not_(has_status(RunStatus.PENDING, _in_thread)),
            # Of those that wait, first the one that has started, then the oldest.
            tuple_(_in_thread.c.attempt == 0, _in_thread.c.ready_at, _in_thread.c.id)
            < tuple_(runs.c.attempt == 0, runs.c.ready_at, runs.c.id),
        ),
    )


_TAKEN: Final = Statement(lambda: select(runs.c.id).where(runs.c.id == bindparam("run"), thread_is_taken()))
