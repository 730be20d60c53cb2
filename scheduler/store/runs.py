"""What is asked of the runs table as a queue: claim what is due, trigger by hand, cancel."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    and_,
    bindparam,
    exists,
    func,
    not_,
    or_,
    select,
    tuple_,
    update,
)

from scheduler.models import OverlapPolicy, RunStatus, RunTrigger, SessionMode, TaskDefinition
from scheduler.store import answers, history, unloadable
from scheduler.store import tasks as task_rows
from scheduler.store.database.statements import Bulk, Connection, Row, Statement
from scheduler.store.expiring import end_reason
from scheduler.store.reading import Unreadable, read
from scheduler.store.schema import (
    CAN_BE_DUE,
    IS_PENDING,
    IS_RUNNING,
    IS_SCHEDULED,
    IS_WAITING,
    has_status,
    holds_thread,
    is_open,
    runs,
    tasks,
)
from scheduler.store.unloadable import Changes, NeedsLoading, Obstacle
from scheduler.timing.clock import to_micros
from scheduler.timing.planning import Decision, Firing, Plan, Situation, plan
from scheduler.timing.schedule import Schedule, is_one_time, schedule_of

_MOST_LATE: Final = 256
"""So many tasks that cannot be loaded here are looked at in one pass for due times that are too late."""
CANCELLED_BY_NEXT: Final = "the task became due again (overlap=cancel_other)"
"""The reason that stands in runs which `OverlapPolicy.CANCEL_OTHER` ended."""


@dataclass(slots=True)
class Claim:
    """An attempt of a run that this process has taken and must now start.

    It is not changed once it is made; it is not frozen, as that would make its making three times as dear.
    """

    run_id: str
    task: TaskDefinition
    scheduled_at: int
    attempt: int
    coalesced: int
    trigger: RunTrigger
    thread_id: str
    next_due: int | None
    """The task's next due time after the claim."""
    checkpointed: bool = False
    """Whether the graph has a checkpointer, so that the run may be continued."""
    starts_at: int | None = None
    """When it is to be started, if it was claimed a moment before its due time; None: at once."""
    last_status: RunStatus | None = None
    """How the attempt before this one ended; None for the first."""
    interrupted: tuple[int, ...] = ()
    """The numbers of the earlier attempts that ended as `interrupted`."""
    answers: dict[str, Any] | None = None
    """Answers to the questions that the graph asked, by their ids."""


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Due times of a task that went into the history without being started, and why."""

    task_id: str
    name: str
    scheduled_at: int
    status: RunStatus
    number: int
    reason: str
    seq: int
    """The number of its row among the runs of the task."""


@dataclass(slots=True)
class Batch:
    """What one pass does with the tasks that are due."""

    claims: list[Claim] = field(default_factory=list)
    not_started: list[NotStarted] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    """Runs that waited and are cancelled by their task's next due time."""
    last_runs: list[tuple[str, str]] = field(default_factory=list)
    """Tasks that will be finished by the run that starts now, each with the reason."""
    unloadable: Changes = field(default_factory=Changes)
    """Tasks that are left to others, or whose code has to be loaded first."""
    leaves_tasks: bool = False
    """Whether there are any."""


# --- Claiming ---


@dataclass(frozen=True, slots=True)
class Claimer:
    """Who claims, and what is to be known for it."""

    owner: str
    history_limit: int
    is_checkpointed: Callable[[TaskDefinition], bool] = lambda _task: False
    """Tells whether the graph of a task has a checkpointer."""
    disowned: Collection[str] = ()
    """Runs that are left to others, if they wait."""
    needs_loading: NeedsLoading = lambda _task: None
    """Tells which code of a task is not loaded yet."""


def claim(  # noqa: PLR0913 (who, when and how much)
    connection: Connection, claimer: Claimer, now: int, slots: int, until: int, *, late_until: int | None = None
) -> Batch:
    """Take runs that wait and due times that have come, at most `slots` together.

    Due times up to `until`, a moment ahead, are taken too where nothing is in their way now: then they can start on
    time, and several share a transaction. Due times that are not to be started are written into the history on the
    way; tasks whose row is damaged are quarantined. Tasks that cannot be loaded here are left to others; those of their
    due times up to `late_until` that nobody has started, and that are too late by now, are `missed`.
    """
    claiming = _Claiming(connection, claimer, now, slots, until)
    if slots:
        claiming.claim_pending()
    claiming.claim_due()
    if late_until is not None:
        claiming.account_for_late(late_until)
    claiming.write()
    return claiming.batch


@dataclass(slots=True)
class _Claiming:
    """One pass over what waits and what is due, inside one transaction."""

    connection: Connection
    claimer: Claimer
    now: int
    slots: int
    until: int
    batch: Batch = field(default_factory=Batch)
    threads: set[str] = field(default_factory=set)
    """Threads that have a run, for graphs with a checkpointer."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    advances: list[dict[str, Any]] = field(default_factory=list)
    obstacles: dict[str, Obstacle] = field(default_factory=dict)
    """Tasks that cannot be loaded here, or not yet."""
    to_load: dict[str, TaskDefinition] = field(default_factory=dict)
    """A task for each code that is not loaded yet."""

    def claim_pending(self) -> None:
        """Take runs that wait and may start; of one task not two at once, unless they may overlap."""
        begun: set[str] = set()
        has_marked = True
        while has_marked and self.slots > 0:
            # Rows whose threads are taken, as is found out here, must not stand in the way of other rows.
            has_marked = False
            for row in self._ready_rows():
                task = None if row.exclusive and row.task_id in begun else self._usable(row.task_id, row.definition)
                if task is None:
                    continue
                if self._may_use_thread(row, task):
                    begun.add(row.task_id)
                    self._take(row, task)
                else:
                    has_marked = has_marked or not row.checkpointed

    def _ready_rows(self) -> Sequence[Row]:
        disowned = list(self.claimer.disowned)
        values = {"now": self.now, "slots": self.slots, "disowned": disowned, "me": self.claimer.owner}
        return self.connection.execute(_READY, values).all()

    def claim_due(self) -> None:
        """Decide over the due times of tasks that are due."""
        rows = self._due_rows()
        if not rows:
            return
        busy, buffered = self._open_runs([row.id for row in rows])
        usable = [(row, task) for row in rows if (task := self._usable(row.id, row.definition, row.zone)) is not None]
        asking = self._look_at_threads([task for _, task in usable])
        for row, task in usable:
            asks = self.claimer.is_checkpointed(task) and history.thread_of(task, "") in asking
            try:
                self._serve(row, task, is_busy=row.id in busy or asks, buffered=buffered[row.id])
            except _ODD_ROW as error:
                self._quarantine(row.id, f"its due times cannot be computed: {type(error).__name__}: {error}")

    def _serve(self, row: Row, task: TaskDefinition, *, is_busy: bool, buffered: int) -> None:
        """Decide over the due times of one task; those that come again and were served before are left out."""
        schedule, due = self._to_serve(row, task)
        if due is None or due > self.until:
            self._advance(task, due, row.last_seq, row.started_runs)
            return
        if due > self.now and (is_busy or buffered or self._has_no_thread(task)):
            return  # What is in its way may be gone when it is due.
        situation = Situation(due, max(self.now, due), row.started_runs, is_busy, buffered, self.slots)
        self._decide(row, task, schedule, situation)
        self.slots = situation.slots

    def _to_serve(self, row: Row, task: TaskDefinition) -> tuple[Schedule, int | None]:
        """Return the schedule of a task and its first due time, without those that come again and were served."""
        schedule = schedule_of(task, row.zone, row.anchor)
        if row.comes_again:
            return history.without_served(self.connection, task.id, schedule, row.next_due)
        return schedule, row.next_due

    def _advance(self, task: TaskDefinition, due: int | None, seq: int, started: int) -> None:
        self.advances.append({"task": task.id, "due": due, "seq": seq, "started": started})

    def account_for_late(self, until: int) -> None:
        """Decide over due times of tasks that are left here as if no slot were free, so that nothing starts."""
        rows = self.connection.execute(_LATE, {"until": until, "me": self.claimer.owner}).all()
        busy, buffered = self._open_runs([row.id for row in rows]) if rows else (set(), Counter())
        for row in rows:
            task = read(row.definition, row.zone)
            if isinstance(task, TaskDefinition):
                self._account_for_late(row, task, until, row.id in busy, buffered[row.id])

    def _account_for_late(self, row: Row, task: TaskDefinition, until: int, is_busy: bool, buffered: int) -> None:  # noqa: FBT001
        schedule, due = self._to_serve(row, task)
        if due is not None and due <= until:
            self._decide(row, task, schedule, Situation(due, until, row.started_runs, is_busy, buffered, slots=0))

    def write(self) -> None:
        """Insert the rows of runs, and move the tasks to their next due times."""
        if self.obstacles:
            self.batch.leaves_tasks = True
            self.batch.unloadable = unloadable.leave(
                self.connection, self.claimer.owner, self.obstacles, self.to_load, self.now
            )
        if self.rows:
            inserted = self.connection.execute_many(history.INSERT_IF_NEW, self.rows)
            if inserted != len(self.rows):
                self._drop_stored()
        if self.advances:
            self.connection.execute_many(_ADVANCE, self.advances)
            newest = [(each["task"], each["seq"]) for each in self.advances]
            history.trim(self.connection, newest, self.claimer.history_limit, self.now)
        started = {claim.task.id for claim in self.batch.claims}
        # What was started finishes its task when it ends; `finish_if_over` sees what waits.
        over = [each["task"] for each in self.advances if each["due"] is None and each["task"] not in started]
        task_rows.finish_if_over(self.connection, over, self.now)

    def _take(self, row: Row, task: TaskDefinition) -> None:
        taken = {"run": row.id, "by": self.claimer.owner, "at": self.now, "try": row.attempt + 1}
        self.connection.execute(_TAKE, {**taken, "kept": int(self.claimer.is_checkpointed(task))})
        self.slots -= 1
        attempts = history.earlier_attempts(row)
        self.batch.claims.append(
            Claim(
                run_id=row.id,
                task=task,
                scheduled_at=row.scheduled_at,
                attempt=row.attempt + 1,
                coalesced=row.coalesced,
                trigger=RunTrigger(row.trigger),
                thread_id=row.thread_id,
                next_due=row.next_due,
                checkpointed=self.claimer.is_checkpointed(task),
                last_status=attempts[-1].status if attempts else None,
                interrupted=tuple(each.number for each in attempts if each.status is RunStatus.INTERRUPTED),
                answers=answers.read(row.answer),
            )
        )

    # A thread whose graph has a checkpointer belongs to one run at a time, across tasks and processes.

    def _may_use_thread(self, row: Row, task: TaskDefinition) -> bool:
        """Take a waiting run's thread; if another run has it, note that this one waits for it."""
        if not self.claimer.is_checkpointed(task):
            return True
        if not row.checkpointed:
            # It was queued by a process that does not know the graph: see whether its thread is free.
            self.connection.execute(_MARK_CHECKPOINTED, {"run": row.id})
            if row.thread_id in self._open_threads([row.thread_id], besides=row.id):
                return False
        if row.thread_id in self.threads:
            return False
        self.threads.add(row.thread_id)
        return True

    def _look_at_threads(self, due: Sequence[TaskDefinition]) -> set[str]:
        """Note which threads of tasks that are due are taken; return those on which a human is asked."""
        shared = {
            history.thread_of(task, "")
            for task in due
            if task.session_mode is SessionMode.SHARED and self.claimer.is_checkpointed(task)
        }
        statuses = self._open_threads(sorted(shared)) if shared else {}
        self.threads |= statuses.keys()
        return {thread for thread, status in statuses.items() if status == RunStatus.WAITING}

    def _has_no_thread(self, task: TaskDefinition) -> bool:
        """Tell whether another run has the thread of a task's session."""
        return self.claimer.is_checkpointed(task) and history.thread_of(task, "") in self.threads

    def _open_threads(self, threads: Sequence[str], besides: str = "") -> dict[str, str]:
        """Return which of the threads have an open run, and its status; `waiting` before others."""
        found: dict[str, str] = {}
        values = {"threads": threads, "besides": besides, "now": self.now}
        for row in self.connection.execute(_THREADS, values):
            if found.get(row.thread_id) != RunStatus.WAITING:
                found[row.thread_id] = row.status
        return found

    def _due_rows(self) -> list[Row]:
        """Return the tasks that are due: as many as there are slots, and those that may need none, being busy."""
        rows: dict[str, Row] = {}
        running = set(self.connection.execute(_RUNNING_TASKS).scalars())
        if running:
            ids = list(running)
            busy = self.connection.execute(_DUE_OF_THESE, {"now": self.now, "ids": ids, "me": self.claimer.owner})
            rows.update((row.id, row) for row in busy)
        if self.slots > 0:
            values = {"until": self.until, "slots": self.slots, "me": self.claimer.owner}
            due = self.connection.execute(_DUE, values)
            rows.update((row.id, row) for row in due)
        return sorted(rows.values(), key=lambda row: (row.next_due, row.id))

    def _open_runs(self, ids: Sequence[str]) -> tuple[set[str], Counter[str]]:
        """Return which tasks have a run that has begun and is not over, and how many scheduled runs wait."""
        busy: set[str] = set()
        buffered: Counter[str] = Counter()
        for row in self.connection.execute(_OPEN_RUNS, {"ids": ids}):
            if row.status != RunStatus.PENDING or row.attempt > 0:
                busy.add(row.task_id)
            elif row.trigger == RunTrigger.SCHEDULE:
                buffered[row.task_id] += row.number
        return busy, buffered

    def _decide(self, row: Row, task: TaskDefinition, schedule: Schedule, situation: Situation) -> None:
        """Note what becomes of one task's due times."""
        # What waits is cancelled by the next due time before it begins: it does not count for `max_runs`.
        replaceable = situation.buffered if task.overlap is OverlapPolicy.CANCEL_OTHER else 0
        situation.started -= replaceable
        planned = plan(task, schedule, situation)
        if planned.cancel_running:
            self.batch.cancelled += _cancel_open(self.connection, task.id, self.now)
        else:
            situation.started += replaceable
        seq = int(row.last_seq)
        for position, firing in enumerate(planned.firings):
            if position == 0 and firing.decision is Decision.SKIP:
                seq = history.insert_skipped(self.connection, task, row, firing, self.now)
            else:
                seq += 1
                situation.slots += self._note(task, firing, planned, seq)
            self._note_not_started(task, firing, seq)
        self._note_last_run(row, task, planned, situation)
        if planned.next_due != row.next_due or seq != row.last_seq:
            self._advance(task, planned.next_due, seq, situation.started)

    def _note_last_run(self, row: Row, task: TaskDefinition, planned: Plan, situation: Situation) -> None:
        """Note a recurring task that has no due time after this one, unless it is known already that it ends."""
        begins = any(firing.decision in {Decision.START, Decision.BUFFER} for firing in planned.firings)
        if planned.next_due is not None or not begins or is_one_time(task):
            return
        if task.max_runs is not None and situation.started >= task.max_runs:
            self.batch.last_runs.append((task.id, f"max_runs={task.max_runs} is reached with its present run"))
        elif task.end_at is not None and row.warn_at is not None:
            self.batch.last_runs.append((task.id, end_reason(to_micros(task.end_at))))

    def _note(self, task: TaskDefinition, firing: Firing, planned: Plan, seq: int) -> int:
        """Add a row, and the claim if the run starts; return how many slots are free again, its thread being taken."""
        row = history.new_row(task, seq, firing.scheduled_at, self.now, _STATUS_OF[firing.decision])
        row["coalesced"], row["error"] = firing.coalesced, firing.reason
        row["checkpointed"] = int(self.claimer.is_checkpointed(task))
        self.rows.append(row)
        if firing.decision is not Decision.START:
            return 0
        if row["checkpointed"] and row["thread_id"] in self.threads:
            row["status"] = RunStatus.PENDING
            return 1
        if row["checkpointed"]:
            self.threads.add(row["thread_id"])
        is_early = firing.scheduled_at > self.now
        row.update(started_at=max(self.now, firing.scheduled_at), owner=self.claimer.owner, attempt=1)
        self.batch.claims.append(
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
        return 0

    def _note_not_started(self, task: TaskDefinition, firing: Firing, seq: int) -> None:
        if firing.reason is not None:
            status, number = _STATUS_OF[firing.decision], firing.coalesced + 1
            note = NotStarted(task.id, task.name, firing.scheduled_at, status, number, firing.reason, seq)
            self.batch.not_started.append(note)

    def _drop_stored(self) -> None:
        """Let go of claims whose row is there already: rows that were changed by hand must not start a run twice."""
        ids = [row["id"] for row in self.rows if row["status"] == RunStatus.RUNNING]
        stored = set(self.connection.execute(_STORED, {"ids": ids}).scalars())
        dropped = set(ids) - stored
        self.batch.claims = [claim for claim in self.batch.claims if claim.run_id not in dropped]

    def _usable(self, task_id: str, definition: str, zone: str = "UTC") -> TaskDefinition | None:
        """Return a task that this process can run; leave it to others if it cannot, quarantine it if nobody can."""
        if task_id in self.obstacles:
            return None
        task = read(definition, zone)
        if isinstance(task, Unreadable):
            if task.is_damaged:
                self._quarantine(task_id, f"the stored definition cannot be used: {task.problem}")
            else:
                self.obstacles[task_id] = Obstacle(None, task.problem)
            return None
        code = self.claimer.needs_loading(task)
        if code is None:
            return task
        self.obstacles[task_id], self.to_load[code] = Obstacle(code), task
        return None

    def _quarantine(self, task_id: str, problem: str) -> None:
        task_rows.quarantine(self.connection, task_id, problem)
        self.batch.quarantined.append((task_id, problem))


_ODD_ROW: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What Python raises about a value that nobody expected in a row; not what the database raises."""
_STATUS_OF: Final = {
    Decision.START: RunStatus.RUNNING,
    Decision.BUFFER: RunStatus.PENDING,
    Decision.SKIP: RunStatus.SKIPPED,
    Decision.MISS: RunStatus.MISSED,
}


# --- Triggering and cancelling ---


def trigger(connection: Connection, task_id: str, now: int, history_limit: int) -> str:
    """Add a run by hand, which the next pass starts; return its id.

    A task that cannot be used is looked at again. Raises `TaskNotFoundError`, and `InvalidTaskError` for a task whose
    stored definition cannot be used here.
    """
    row = task_rows.present(connection, task_id)
    task_rows.look_again(connection, row)
    task = task_rows.definition_of(row)
    run = history.new_row(task, row.last_seq + 1, now, now, RunStatus.PENDING)
    run["trigger"] = RunTrigger.MANUAL
    history.insert_rows(connection, [run])
    history.note_newest(connection, task_id, run["seq"])
    history.trim(connection, [(task_id, run["seq"])], history_limit, now)
    return str(run["id"])


def _cancel_open(connection: Connection, task_id: str, now: int) -> list[str]:
    """Ask for the running runs of a task to be cancelled, and cancel those that wait on its schedule; return these."""
    connection.execute(_ASK_TO_CANCEL, {"task": task_id})
    waiting = connection.execute(_WAITING, {"task": task_id}).all()
    task_rows.cancel(connection, waiting, now, CANCELLED_BY_NEXT)
    return [row.id for row in waiting]


def cancel_requests(connection: Connection, owner: str) -> list[str]:
    """Return the runs of `owner` that are to be cancelled."""
    return connection.execute(_CANCEL_REQUESTS, {"by": owner}).scalars()


_other = runs.alias("other")
_IS_READY: Final = and_(IS_PENDING, runs.c.ready_at <= bindparam("now"))
_BLOCKED: Final = exists().where(
    _other.c.task_id == runs.c.task_id,
    is_open(_other),
    or_(
        has_status(RunStatus.RUNNING, _other),
        has_status(RunStatus.WAITING, _other),
        # A run between two attempts is not over; one that has begun itself does not wait for it.
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
_in_thread = runs.alias("in_thread")


def _is_stuck(run: FromClause) -> ColumnElement[bool]:
    """Return the condition that a run waits although its task is quarantined, or no scheduler can load it.

    Nobody waits for such a run.
    """
    is_quarantined = exists().where(tasks.c.id == run.c.task_id, tasks.c.problem.is_not(None)).correlate(run)
    return and_(has_status(RunStatus.PENDING, run), or_(is_quarantined, unloadable.is_left_by_all(run.c.task_id)))


_THREAD_IS_TAKEN: Final = exists().where(
    _in_thread.c.thread_id == runs.c.thread_id,
    holds_thread(_in_thread),
    _in_thread.c.id != runs.c.id,
    not_(_is_stuck(_in_thread)),
    or_(
        not_(has_status(RunStatus.PENDING, _in_thread)),
        # Of those that wait, first the one that has begun, then the oldest.
        tuple_(_in_thread.c.attempt == 0, _in_thread.c.ready_at, _in_thread.c.id)
        < tuple_(runs.c.attempt == 0, runs.c.ready_at, runs.c.id),
    ),
)
_READY: Final = Statement(
    lambda: (
        select(runs, tasks.c.definition, tasks.c.next_due)
        .join(tasks, tasks.c.id == runs.c.task_id)
        .where(_IS_READY, tasks.c.problem.is_(None), not_(unloadable.is_left(runs.c.task_id)))
        .where(or_(runs.c.exclusive == 0, not_(_BLOCKED)), or_(runs.c.checkpointed == 0, not_(_THREAD_IS_TAKEN)))
        .where(runs.c.id.not_in(bindparam("disowned", expanding=True)))
        .order_by(runs.c.ready_at, runs.c.id)
        .limit(bindparam("slots"))
    )
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
            current_step=None,
        )
    )
)
_MARK_CHECKPOINTED: Final = Statement(lambda: update(runs).where(runs.c.id == bindparam("run")).values(checkpointed=1))
_THREADS: Final = Statement(
    lambda: select(runs.c.thread_id, runs.c.status).where(
        runs.c.thread_id.in_(bindparam("threads", expanding=True)),
        holds_thread(),
        runs.c.id != bindparam("besides"),
        not_(_is_stuck(runs)),
    )
)
_TASKS_AS_DUE: Final = select(
    tasks,
    exists()
    .where(
        runs.c.task_id == tasks.c.id,
        IS_SCHEDULED,
        runs.c.scheduled_at >= tasks.c.next_due,
    )
    .label("comes_again"),
)
"""Tasks, each with whether due times that are to come have a row already, since the clock was set back."""
_DUE: Final = Statement(
    lambda: (
        _TASKS_AS_DUE.where(CAN_BE_DUE, tasks.c.next_due <= bindparam("until"), not_(unloadable.is_left(tasks.c.id)))
        .order_by(tasks.c.next_due)
        .limit(bindparam("slots"))
    )
)
# Two statements: PostgreSQL, asked for both at once, compares each task that is due with each run that is going.
_RUNNING_TASKS: Final = Statement(lambda: select(runs.c.task_id).where(IS_RUNNING))
_DUE_OF_THESE: Final = Statement(
    lambda: _TASKS_AS_DUE.where(
        CAN_BE_DUE,
        tasks.c.next_due <= bindparam("now"),
        tasks.c.id.in_(bindparam("ids", expanding=True)),
        not_(unloadable.is_left(tasks.c.id)),
    )
)
# Only due times that can be too late need a decision before the task can be loaded; a definition has no default values.
_LATE: Final = Statement(
    lambda: (
        _TASKS_AS_DUE.where(
            CAN_BE_DUE,
            tasks.c.next_due <= bindparam("until"),
            unloadable.is_left(tasks.c.id),
            tasks.c.definition.like('%"misfire_grace_seconds"%'),
        )
        .order_by(tasks.c.next_due)
        .limit(_MOST_LATE)
    )
)
_OPEN_RUNS: Final = Statement(
    lambda: (
        select(runs.c.task_id, runs.c.status, runs.c.attempt, runs.c.trigger, func.count().label("number"))
        .where(runs.c.task_id.in_(bindparam("ids", expanding=True)), is_open())
        .group_by(runs.c.task_id, runs.c.status, runs.c.attempt, runs.c.trigger)
    )
)
_STORED: Final = Statement(lambda: select(runs.c.id).where(runs.c.id.in_(bindparam("ids", expanding=True))))
_ASK_TO_CANCEL: Final = Statement(
    lambda: update(runs).where(runs.c.task_id == bindparam("task"), IS_RUNNING).values(cancel_requested=1)
)
_WAITING: Final = Statement(
    lambda: task_rows.cancellable(
        and_(runs.c.task_id == bindparam("task"), or_(IS_WAITING, and_(IS_PENDING, IS_SCHEDULED)))
    )
)
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
_CANCEL_REQUESTS: Final = Statement(
    lambda: select(runs.c.id).where(IS_RUNNING, runs.c.owner == bindparam("by"), runs.c.cancel_requested == 1)
)
