"""What becomes of due times: which tasks are due, the rows of their runs, and their next due times."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Select, and_, bindparam, exists, not_, or_, select, update

from scheduler.models import OverlapPolicy, RunStatus, RunTrigger, TaskDefinition
from scheduler.store import history, unloadable
from scheduler.store import tasks as task_rows
from scheduler.store.claiming import Claiming
from scheduler.store.claims import CANCELLED_BY_NEXT, Claim, Entry, NotStarted
from scheduler.store.database.statements import Bulk, Connection, Query, Statement
from scheduler.store.expiring import end_reason
from scheduler.store.reading import read
from scheduler.store.schema import (
    CAN_BE_DUE,
    IS_BACKFILL,
    IS_PENDING,
    IS_RUNNING,
    IS_SCHEDULED,
    IS_WAITING,
    runs,
    tasks,
)
from scheduler.timing.calendar_schedules import closing_of, open_only
from scheduler.timing.clock import to_micros
from scheduler.timing.planning import Decision, Firing, Plan, Situation, plan
from scheduler.timing.schedule import Schedule, is_one_time, schedule_of

_MOST_LATE: Final = 256
"""So many tasks that cannot be loaded here are looked at in one pass for due times that are too late."""
_ODD_ROW: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What Python raises about a value that nobody expected in a row; not what the database raises."""
_STATUS_OF: Final = {
    Decision.START: RunStatus.RUNNING,
    Decision.BUFFER: RunStatus.PENDING,
    Decision.SKIP: RunStatus.SKIPPED,
    Decision.MISS: RunStatus.MISSED,
}


class DueTask(NamedTuple):
    """A task that is due."""

    id: str
    definition: str
    zone: str
    anchor: int
    next_due: int
    started_runs: int
    last_seq: int
    warn_at: int | None
    comes_again: int
    """1 if due times that are to come have a row already, since the clock was set back."""


class DueTimes:
    """The tasks that one pass finds due, and what it writes about them at its end."""

    def __init__(self, claiming: Claiming) -> None:
        """Take what the parts of the claim share."""
        self._connection = claiming.connection
        self._claimer = claiming.claimer
        self._now = claiming.now
        self._until = claiming.until
        self._batch = claiming.batch
        self._usable = claiming.usable
        self._open_runs = claiming.open_runs
        self._threads = claiming.threads
        self._rows: list[dict[str, Any]] = []
        self._advances: list[dict[str, Any]] = []

    def entries(self, slots: int) -> Iterator[Entry]:
        """Yield tasks that are due, the oldest due time first: as many as can use the slots, and those that are busy.

        What overlaps with a run may need no slot.
        """
        found = self._look_at(self._due_while_running())
        met, free = 0, slots
        while free > 0:
            # A task that cannot start anything must not keep younger ones from the slots.
            values = {"until": self._until, "slots": free, "met": met, "me": self._claimer.owner}
            rows = self._connection.execute(_DUE, values).all()
            found |= self._look_at([row for row in rows if row.id not in found])
            met += len(rows)
            free = 0 if len(rows) < free else free - sum(self._may_start(row, found[row.id][1]) for row in rows)
        for row, task in sorted(found.values(), key=lambda each: (each[0].next_due, each[0].id)):
            if task is not None:
                yield Entry(row.next_due, partial(self._claim, row, task))

    def _due_while_running(self) -> Sequence[DueTask]:
        """Return the tasks that are due and have a run that is running."""
        running = self._connection.execute(_RUNNING_TASKS).scalars()
        if not running:
            return []
        values = {"now": self._now, "ids": list(set(running)), "me": self._claimer.owner}
        return self._connection.execute(_DUE_OF_THESE, values).all()

    def _look_at(self, rows: Sequence[DueTask]) -> dict[str, tuple[DueTask, TaskDefinition | None]]:
        """Read what is to be known of tasks that are due, by their ids; None: not to be used here."""
        if not rows:
            return {}
        self._open_runs.look_at([row.id for row in rows])
        found = {row.id: (row, self._usable.usable(row.id, row.definition, row.zone)) for row in rows}
        self._threads.look_at(task for _, task in found.values() if task is not None)
        return found

    def _may_start(self, row: DueTask, task: TaskDefinition | None) -> bool:
        """Tell whether the due time of a task may use a slot: what overlaps, or is closed, mostly does not."""
        if task is None or not self._threads.is_free_for(task):
            return False
        closing = closing_of(task, row.zone)
        if closing is not None and closing.reason(row.next_due) is not None:
            first = open_only(task, row.zone, schedule_of(task, row.zone, row.anchor)).next_after(row.next_due)
            if first is None or first > self._until:
                return False
        is_open = self._open_runs.is_busy(task.id) or self._open_runs.waiting(task.id) > 0
        return task.overlap is OverlapPolicy.ALLOW_ALL or not is_open

    def _claim(self, row: DueTask, task: TaskDefinition, slots: int) -> int:
        """Decide over the due times of one task; return how many slots its runs take."""
        try:
            return self._serve(row, task, slots)
        except _ODD_ROW as error:
            self._usable.quarantine(row.id, f"its due times cannot be computed: {type(error).__name__}: {error}")
            return 0

    def _serve(self, row: DueTask, task: TaskDefinition, slots: int) -> int:
        schedule, due = self._to_serve(row, task)
        if due is None or due > self._until:
            self._advance(task, due, row.last_seq, row.started_runs)
            return 0
        is_busy = self._open_runs.is_busy(row.id) or self._threads.is_asking(task)
        waiting = self._open_runs.waiting(row.id)
        if due > self._now and (is_busy or waiting or not self._threads.is_free_for(task)):
            return 0  # What is in its way may be gone when it is due.
        closing = closing_of(task, row.zone)
        if due > self._now and closing is not None and closing.reason(due) is not None:
            return 0  # Nothing is to be made ready.
        situation = Situation(due, max(self._now, due), row.started_runs, is_busy, waiting, slots)
        return self._decide(row, task, schedule, situation)

    def _to_serve(self, row: DueTask, task: TaskDefinition) -> tuple[Schedule, int | None]:
        """Return the schedule of a task and its first due time, without those that come again and were served."""
        schedule = schedule_of(task, row.zone, row.anchor)
        if row.comes_again:
            return history.without_served(self._connection, task.id, schedule, row.next_due)
        return schedule, row.next_due

    def _decide(self, row: DueTask, task: TaskDefinition, schedule: Schedule, situation: Situation) -> int:
        """Note what becomes of one task's due times; return how many runs start."""
        planned, started = self._plan(task, row.zone, schedule, situation)
        seq, claims = row.last_seq, len(self._batch.claims)
        for position, firing in enumerate(planned.firings):
            if position == 0 and firing.decision is Decision.SKIP:
                seq = history.insert_skipped(self._connection, task, row.last_seq, firing, self._now)
            else:
                seq += 1
                self._add(task, firing, planned, seq)
            self._note_not_started(task, firing, seq)
        self._note_last_run(row, task, planned, started)
        if planned.next_due != row.next_due or seq != row.last_seq:
            self._advance(task, planned.next_due, seq, started)
        return len(self._batch.claims) - claims

    def _plan(self, task: TaskDefinition, zone: str, schedule: Schedule, situation: Situation) -> tuple[Plan, int]:
        """Return what becomes of due times, and how many scheduled runs then count for `max_runs`."""
        if task.misfire_grace_seconds is None and self._claimer.grace is not None:
            task = task.model_copy(update={"misfire_grace_seconds": self._claimer.grace})
        closing = closing_of(task, zone)
        if task.overlap is not OverlapPolicy.CANCEL_OTHER or not situation.buffered:
            planned = plan(task, schedule, situation, closing)
        else:
            # The next due time cancels what waits before that has started: it does not count.
            without = replace(situation, started=situation.started - situation.buffered)
            planned = plan(task, schedule, without, closing)
            if not planned.cancel_running:
                return planned, planned.started + situation.buffered
        if planned.cancel_running:
            self._batch.cancelled += _cancel_open(self._connection, task.id, self._now)
        return planned, planned.started

    def _add(self, task: TaskDefinition, firing: Firing, planned: Plan, seq: int) -> None:
        """Add a row, and the claim if the run starts; it waits if another run has its thread."""
        row = history.new_row(task, seq, firing.scheduled_at, self._now, _STATUS_OF[firing.decision])
        row["coalesced"], row["error"] = firing.coalesced, firing.reason
        row["checkpointed"] = int(self._claimer.is_checkpointed(task))
        self._rows.append(row)
        if firing.decision is not Decision.START:
            return
        if row["checkpointed"] and not self._threads.take(row["thread_id"]):
            row["status"] = RunStatus.PENDING
            self._batch.has_passed_over = True  # a younger run that waits may have its thread
            return
        is_early = firing.scheduled_at > self._now
        row.update(started_at=max(self._now, firing.scheduled_at), owner=self._claimer.owner, attempt=1)
        self._open_runs.note_start(task.id, has_waited=False)
        self._batch.claims.append(
            Claim(
                run_id=row["id"],
                task=task,
                scheduled_at=firing.scheduled_at,
                attempt=1,
                coalesced=firing.coalesced,
                trigger=RunTrigger.SCHEDULE,
                thread_id=row["thread_id"],
                next_due=planned.next_due,
                checkpointed=bool(row["checkpointed"]),
                starts_at=firing.scheduled_at if is_early else None,
            )
        )

    def _note_not_started(self, task: TaskDefinition, firing: Firing, seq: int) -> None:
        if firing.reason is not None:
            status, number = _STATUS_OF[firing.decision], firing.coalesced + 1
            note = NotStarted(task.id, task.name, firing.scheduled_at, status, number, firing.reason, seq)
            self._batch.not_started.append(note)

    def _note_last_run(self, row: DueTask, task: TaskDefinition, planned: Plan, started: int) -> None:
        """Note a recurring task that has no due time after this one, unless it is known already that it ends."""
        begins = any(firing.decision in {Decision.START, Decision.BUFFER} for firing in planned.firings)
        if planned.next_due is not None or not begins or is_one_time(task):
            return
        if task.max_runs is not None and started >= task.max_runs:
            self._batch.last_runs.append((task.id, f"max_runs={task.max_runs} is reached with its present run"))
        elif task.end_at is not None and row.warn_at is not None:
            self._batch.last_runs.append((task.id, end_reason(to_micros(task.end_at))))

    def _advance(self, task: TaskDefinition, due: int | None, seq: int, started: int) -> None:
        self._advances.append({"task": task.id, "due": due, "seq": seq, "started": started})

    # --- Tasks that cannot be loaded here ---

    def account_for_late(self, until: int) -> None:
        """Decide over due times of tasks that are left to others as if no slot were free, so that nothing starts."""
        query = _LATE if self._claimer.grace is None else _LATE_BY_ANY_GRACE
        rows = self._connection.execute(query, {"until": until, "me": self._claimer.owner}).all()
        if rows:
            self._open_runs.look_at([row.id for row in rows])
        for row in rows:
            task = read(row.definition, row.zone)
            if isinstance(task, TaskDefinition):
                self._account_for(row, task, until)

    def _account_for(self, row: DueTask, task: TaskDefinition, until: int) -> None:
        schedule, due = self._to_serve(row, task)
        if due is not None and due <= until:
            is_busy, waiting = self._open_runs.is_busy(row.id), self._open_runs.waiting(row.id)
            self._decide(row, task, schedule, Situation(due, until, row.started_runs, is_busy, waiting, slots=0))

    # --- Writing ---

    def write(self) -> None:
        """Insert the rows of runs, and move the tasks to their next due times."""
        if self._rows:
            inserted = self._connection.execute_many(history.INSERT_IF_NEW, self._rows)
            if inserted != len(self._rows):
                self._drop_stored()
        if self._advances:
            self._connection.execute_many(_ADVANCE, self._advances)
            newest = [(each["task"], each["seq"]) for each in self._advances]
            history.trim(self._connection, newest, self._claimer.history_limit, self._now)
        started = {claim.task.id for claim in self._batch.claims}
        # What was started finishes its task when it ends; `finish_if_over` sees what waits.
        over = [each["task"] for each in self._advances if each["due"] is None and each["task"] not in started]
        task_rows.finish_if_over(self._connection, over, self._now)

    def _drop_stored(self) -> None:
        """Let go of claims whose row is there already: rows that were changed by hand must not start a run twice."""
        ids = [row["id"] for row in self._rows if row["status"] == RunStatus.RUNNING]
        stored = set(self._connection.execute(_STORED, {"ids": ids}).scalars())
        dropped = set(ids) - stored
        self._batch.claims = [claim for claim in self._batch.claims if claim.run_id not in dropped]


def _due_tasks(*conditions: Any) -> Select[Any]:  # noqa: ANN401 (conditions of SQLAlchemy)
    comes_again = exists().where(runs.c.task_id == tasks.c.id, IS_SCHEDULED, runs.c.scheduled_at >= tasks.c.next_due)
    *columns, last = DueTask._fields
    return select(*(tasks.c[name] for name in columns), comes_again.label(last)).where(CAN_BE_DUE, *conditions)


# Two statements: PostgreSQL, asked for both at once, compares each task that is due with each run that is running.
_RUNNING_TASKS: Final = Statement(lambda: select(runs.c.task_id).where(IS_RUNNING))
_DUE_OF_THESE: Final = Query(
    DueTask,
    lambda: _due_tasks(
        tasks.c.next_due <= bindparam("now"),
        tasks.c.id.in_(bindparam("ids", expanding=True)),
        not_(unloadable.is_left(tasks.c.id)),
    ),
)
_DUE: Final = Query(
    DueTask,
    lambda: (
        _due_tasks(tasks.c.next_due <= bindparam("until"), not_(unloadable.is_left(tasks.c.id)))
        .order_by(tasks.c.next_due)
        .limit(bindparam("slots"))
        .offset(bindparam("met"))
    ),
)


def _late_tasks(*conditions: Any) -> Select[Any]:  # noqa: ANN401 (conditions of SQLAlchemy)
    late = _due_tasks(tasks.c.next_due <= bindparam("until"), unloadable.is_left(tasks.c.id), *conditions)
    return late.order_by(tasks.c.next_due).limit(_MOST_LATE)


# Only due times that can be too late need a decision before the task can be loaded; a definition has no default values.
_LATE: Final = Query(DueTask, lambda: _late_tasks(tasks.c.definition.like('%"misfire_grace_seconds"%')))
_LATE_BY_ANY_GRACE: Final = Query(DueTask, _late_tasks)
_STORED: Final = Statement(lambda: select(runs.c.id).where(runs.c.id.in_(bindparam("ids", expanding=True))))
_ADVANCE: Final = Bulk(
    lambda given: (
        update(tasks)
        .where(tasks.c.id == given("task"))
        .values(
            next_due=given("due", BigInteger),
            last_seq=given("seq", BigInteger),
            started_runs=given("started", BigInteger),
        )
    )
)


def _cancel_open(connection: Connection, task_id: str, now: int) -> list[str]:
    """Ask for the running runs of a task to be cancelled, and cancel those that wait on its schedule; return these."""
    connection.execute(_ASK_TO_CANCEL, {"task": task_id})
    waiting = connection.execute(_CANCELLABLE, {"task": task_id}).all()
    task_rows.cancel(connection, waiting, now, CANCELLED_BY_NEXT)
    return [row.id for row in waiting]


_ASK_TO_CANCEL: Final = Statement(
    lambda: (
        update(runs)
        .where(runs.c.task_id == bindparam("task"), IS_RUNNING, not_(IS_BACKFILL))
        .values(cancel_requested=1)
    )
)
_CANCELLABLE: Final = Query(
    task_rows.CancellableRun,
    lambda: task_rows.cancellable(
        and_(
            runs.c.task_id == bindparam("task"),
            or_(and_(IS_WAITING, not_(IS_BACKFILL)), and_(IS_PENDING, IS_SCHEDULED)),
        )
    ),
)
