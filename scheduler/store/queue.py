"""The queue of a pass: runs that wait and tasks that are due, the oldest first; and runs that are added by hand."""

import json
from collections.abc import Iterator
from functools import partial
from heapq import merge
from operator import attrgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    update,
)

from scheduler.meter import Meter
from scheduler.models import RunStatus, RunTrigger, TaskDefinition
from scheduler.store import adding, answers, history, own_values, unloadable
from scheduler.store import tasks as task_rows
from scheduler.store.claiming import Claiming
from scheduler.store.claims import CANCELLED_BY_NEXT, Batch, Claim, Claimer, Entry
from scheduler.store.database.statements import Connection, Query, Statement
from scheduler.store.due_times import DueTimes
from scheduler.store.failures import FAILURES
from scheduler.store.schema import (
    IS_BACKFILL,
    IS_OPEN_BACKFILL,
    IS_PENDING,
    IS_RUNNING,
    has_status,
    is_open,
    runs,
    tasks,
)
from scheduler.store.threads import thread_is_taken

# --- Claiming ---


def claim(  # noqa: PLR0913 (who, when and how much)
    connection: Connection, claimer: Claimer, now: int, slots: int, until: int, *, late_until: int | None = None
) -> Batch:
    """Take runs that wait and due times that have come, the oldest first, at most `slots` together.

    Due times up to `until`, a moment ahead, are taken too where nothing is in their way now: then they can start on
    time, and several share a transaction. Due times that are not to be started are written into the history on the
    way; tasks whose row is damaged are quarantined. Tasks that cannot be loaded here are left to others; those of their
    due times up to `late_until` that nobody has started, and that are too late by now, are `missed`.
    """
    claiming = Claiming.begin(connection, claimer, now, until)
    waiting, due_times = WaitingRuns(claiming), DueTimes(claiming)
    free = slots
    for entry in merge(waiting.entries(slots), due_times.entries(slots), key=attrgetter("since")):
        free -= entry.claim(free)
    waiting.claim_backfills(free)
    if late_until is not None:
        due_times.account_for_late(late_until)
    claiming.usable.write(now)
    due_times.write()
    return claiming.batch


class _WaitingRun(NamedTuple):
    id: str
    task_id: str
    scheduled_at: int
    ready_at: int
    attempt: int
    coalesced: int
    trigger: str
    exclusive: int
    thread_id: str
    checkpointed: int
    answer: str | None
    earlier_attempts: str | None
    usage: str | None
    prompt: str | None
    metadata: str | None
    continues: str | None
    max_concurrent: int | None
    definition: str
    next_due: int | None


class WaitingRuns:
    """The runs that wait and may start, as one pass finds them: triggered by hand, buffered, retried, answered."""

    def __init__(self, claiming: Claiming) -> None:
        """Take what the parts of the claim share."""
        self._connection = claiming.connection
        self._claimer = claiming.claimer
        self._now = claiming.now
        self._batch = claiming.batch
        self._usable = claiming.usable
        self._open_runs = claiming.open_runs
        self._threads = claiming.threads
        self._passed_over = 0
        """How many runs were found to have to give way, which the query could not know."""

    def entries(self, slots: int) -> Iterator[Entry]:
        """Yield runs that wait, the longest wait first: as many as there are slots, if so many can start."""
        met: set[str] = set()
        passed_over = -1
        while slots > 0 and passed_over < self._passed_over:
            # A run that gives way must not keep younger ones from the slots.
            passed_over = self._passed_over
            for row in self._ready_rows(slots + passed_over):
                if row.id not in met:
                    met.add(row.id)
                    yield Entry(row.ready_at, partial(self._claim, row))

    def _ready_rows(self, slots: int) -> list[_WaitingRun]:
        disowned = list(self._claimer.disowned)
        values = {"now": self._now, "slots": slots, "disowned": disowned, "me": self._claimer.owner}
        return self._connection.execute(_READY, values).all()

    def claim_backfills(self, slots: int) -> None:
        """Claim runs of backfills in what slots are left, the oldest due time first."""
        if slots <= 0:
            return
        rows = [row for task_id in self._backfilling() for row in self._backfills_of(task_id, slots)]
        for row in sorted(rows, key=lambda row: (row.ready_at, row.id)):
            slots -= self._claim_backfill(row) if slots else 0

    def _backfilling(self) -> list[str]:
        return self._connection.execute(_BACKFILLING, {"me": self._claimer.owner}).scalars()

    def _backfills_of(self, task_id: str, slots: int) -> list[_WaitingRun]:
        """Return runs of a task's backfills that may start: further attempts, and the oldest due times."""
        values = {"task": task_id, "now": self._now, "slots": slots, "disowned": list(self._claimer.disowned)}
        return [*self._connection.execute(_FURTHER_BACKFILLS, values), *self._connection.execute(_BACKFILLS, values)]

    def _claim_backfill(self, row: _WaitingRun) -> int:
        if row.attempt == 0 and self._started_backfills(row.task_id) >= (row.max_concurrent or 1):
            return 0
        task = self._usable.usable(row.task_id, row.definition)
        if task is None:
            return 0
        is_checkpointed = self._claimer.is_checkpointed(task)
        if is_checkpointed and not self._threads.take_if_free(row):
            return 0
        self._take(row, task, is_checkpointed=is_checkpointed)
        return 1

    def _started_backfills(self, task_id: str) -> int:
        return int(self._connection.execute(_STARTED_BACKFILLS, {"task": task_id}).scalars()[0])

    def _claim(self, row: _WaitingRun, slots: int) -> int:
        """Claim a run, if there is a slot and it need not give way to what this pass has started."""
        if slots <= 0:
            return 0
        gives_way = row.exclusive and self._open_runs.has_started(row.task_id)
        if gives_way or row.id in self._batch.cancelled:
            return self._pass_over()
        task = self._usable.usable(row.task_id, row.definition)
        if task is None:
            return 0
        is_checkpointed = self._claimer.is_checkpointed(task)
        if is_checkpointed and row.thread_id in self._threads.held:
            self._passed_over += 1
            return 0  # No other pass at once: it would find the same.
        if is_checkpointed and not self._threads.take_for(row):
            return self._pass_over()
        self._take(row, task, is_checkpointed=is_checkpointed)
        return 1

    def _pass_over(self) -> int:
        """Note that a run gives way to what this pass has met; return the slots that it uses."""
        self._passed_over += 1
        self._batch.has_passed_over = True
        return 0

    def _take(self, row: _WaitingRun, task: TaskDefinition, *, is_checkpointed: bool) -> None:
        taken = {"run": row.id, "by": self._claimer.owner, "at": self._now, "try": row.attempt + 1}
        self._connection.execute(_TAKE, {**taken, "kept": int(is_checkpointed)})
        is_first = row.trigger == RunTrigger.SCHEDULE and row.attempt == 0
        if row.trigger != RunTrigger.BACKFILL:
            self._open_runs.note_start(row.task_id, has_waited=is_first)
        attempts = history.earlier_attempts(row)
        self._batch.claims.append(
            Claim(
                run_id=row.id,
                task=own_values.task_of_run(task, row.prompt, row.metadata),
                scheduled_at=row.scheduled_at,
                attempt=row.attempt + 1,
                coalesced=row.coalesced,
                trigger=RunTrigger(row.trigger),
                thread_id=row.thread_id,
                next_due=row.next_due,
                checkpointed=is_checkpointed,
                last_status=attempts[-1].status if attempts else None,
                interrupted=tuple(each.number for each in attempts if each.status is RunStatus.INTERRUPTED),
                meter=Meter(history.usage_of(row.usage)),
                failures=sum(each.status in FAILURES for each in attempts),
                answers=answers.read(row.answer),
                continues=tuple((row.continues or "").split()),
            )
        )


_other = runs.alias("other")


def _is_blocked() -> ColumnElement[bool]:
    """Return the condition that another run of its task is in the way of a run that waits."""
    return exists().where(
        _other.c.task_id == runs.c.task_id,
        is_open(_other),
        _other.c.trigger != RunTrigger.BACKFILL,
        or_(
            has_status(RunStatus.RUNNING, _other),
            has_status(RunStatus.WAITING, _other),
            # A run between two attempts is not over; one that has started itself does not wait for it.
            and_(runs.c.attempt == 0, has_status(RunStatus.PENDING, _other), _other.c.attempt > 0),
            # One run of a task at most is in the way of the runs of other tasks.
            and_(
                has_status(RunStatus.PENDING, _other),
                _other.c.exclusive == 1,
                tuple_(_other.c.ready_at, _other.c.id) < tuple_(runs.c.ready_at, runs.c.id),
                or_(runs.c.attempt == 0, _other.c.attempt > 0),
            ),
        ),
    )


def _columns() -> list[ColumnElement[object]]:
    *of_run, definition, next_due = _WaitingRun._fields
    return [*(runs.c[name] for name in of_run), tasks.c[definition], tasks.c[next_due]]


_BACKFILLING: Final = Statement(
    lambda: (
        select(runs.c.task_id)
        .distinct()
        .join(tasks, tasks.c.id == runs.c.task_id)
        .where(IS_OPEN_BACKFILL, tasks.c.problem.is_(None), not_(unloadable.is_left(runs.c.task_id)))
    )
)


def _pending_backfills(started: ColumnElement[bool]) -> Select[Any]:
    query: Any = (
        select(*_columns())
        .join(tasks, tasks.c.id == runs.c.task_id)
        .where(IS_OPEN_BACKFILL, runs.c.task_id == bindparam("task"), started)
        .where(IS_PENDING, runs.c.ready_at <= bindparam("now"))
        .where(runs.c.id.not_in(bindparam("disowned", expanding=True)))
        .order_by(runs.c.ready_at, runs.c.id)
        .limit(bindparam("slots"))
    )
    found: Select[Any] = query
    return found


_BACKFILLS: Final = Query(_WaitingRun, lambda: _pending_backfills(runs.c.attempt == literal_column("0")))
_FURTHER_BACKFILLS: Final = Query(_WaitingRun, lambda: _pending_backfills(runs.c.attempt > literal_column("0")))
_STARTED_BACKFILLS: Final = Statement(
    lambda: select(func.count()).where(
        IS_OPEN_BACKFILL, runs.c.task_id == bindparam("task"), runs.c.attempt > literal_column("0")
    )
)
_READY: Final = Query(
    _WaitingRun,
    lambda: (
        select(*_columns())
        .join(tasks, tasks.c.id == runs.c.task_id)
        .where(IS_PENDING, not_(IS_BACKFILL), runs.c.ready_at <= bindparam("now"))
        .where(tasks.c.problem.is_(None), not_(unloadable.is_left(runs.c.task_id)))
        .where(or_(runs.c.exclusive == 0, not_(_is_blocked())), or_(runs.c.checkpointed == 0, not_(thread_is_taken())))
        .where(runs.c.id.not_in(bindparam("disowned", expanding=True)))
        .order_by(runs.c.ready_at, runs.c.id)
        .limit(bindparam("slots"))
    ),
)
_TAKE: Final = Statement(
    lambda: (
        update(runs)
        .where(runs.c.id == bindparam("run"))
        .values(
            status=RunStatus.RUNNING,
            owner=bindparam("by"),
            started_at=bindparam("at"),
            attempt=bindparam("try"),
            checkpointed=bindparam("kept"),
            cancel_requested=0,
            cancel_reason=None,
            current_step=None,
        )
    )
)


# --- Triggering and cancelling ---


def trigger(  # noqa: PLR0913, PLR0917 (what to run, and what it has of its own)
    connection: Connection,
    task_id: str,
    now: int,
    history_limit: int,
    prompt: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> str:
    """Add a run by hand, which the next pass starts; return its id. `prompt` and `metadata` are for this run alone.

    A task that cannot be used is looked at again. Raises `TaskNotFoundError`, `InvalidTaskError` for a task whose
    stored definition cannot be used here, and `ValueError` for a prompt or metadata that a task cannot have.
    """
    row = task_rows.present(connection, task_id)
    task_rows.look_again(connection, row)
    task = task_rows.definition_of(row)
    values = _own_values(task, prompt, metadata)
    return add(connection, task, row.last_seq, now, history_limit, {"trigger": RunTrigger.MANUAL, **values})


def _own_values(task: TaskDefinition, prompt: str | None, metadata: dict[str, Any] | None) -> dict[str, str | None]:
    """Return the columns of a run with values of its own. Raises `ValueError`."""
    given: dict[str, Any] = {} if prompt is None else {"prompt": prompt}
    if metadata is not None:
        given["metadata"] = metadata
    checked = adding.changed(task, given) if given else task
    if metadata is not None:
        adding.changed(task, {"metadata": {**task.metadata, **checked.metadata}})
    return {"prompt": prompt, "metadata": None if metadata is None else json.dumps(checked.metadata)}


def add(  # noqa: PLR0913, PLR0917 (the same)
    connection: Connection, task: TaskDefinition, last_seq: int, now: int, history_limit: int, values: dict[str, Any]
) -> str:
    """Add a run that the next pass starts, with the columns of `values`; return its id."""
    run = {**history.new_row(task, last_seq + 1, now, now, RunStatus.PENDING), **values}
    history.insert_special(connection, [run])
    history.note_newest(connection, task.id, run["seq"])
    history.trim(connection, [(task.id, run["seq"])], history_limit, now)
    return str(run["id"])


class _CancelRequest(NamedTuple):
    id: str
    cancel_reason: str | None


def cancel_requests(connection: Connection, owner: str) -> dict[str, str]:
    """Return the runs of `owner` that are to be cancelled, each with the reason."""
    found = connection.execute(_CANCEL_REQUESTS, {"by": owner}).all()
    return {row.id: row.cancel_reason or CANCELLED_BY_NEXT for row in found}


_CANCEL_REQUESTS: Final = Query(
    _CancelRequest,
    lambda: select(runs.c.id, runs.c.cancel_reason).where(
        IS_RUNNING, runs.c.owner == bindparam("by"), runs.c.cancel_requested == 1
    ),
)
