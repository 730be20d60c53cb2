"""Tasks and runs in SQL (SQLAlchemy Core). The only room that knows SQL; here is what the other rooms call."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import bindparam, exists, func, select

from scheduler.clock import SECOND, Clock
from scheduler.errors import StoreNotFoundError
from scheduler.models import Run, RunStatus, TaskChanges, TaskDefinition
from scheduler.store import adding, history, outcomes, owners, runs, tasks
from scheduler.store.address import database_at
from scheduler.store.engine import PASS_TIMEOUT, Database, StoreThread
from scheduler.store.isolation import RefusedError, Steps, Write, Written, write_one_by_one, write_together
from scheduler.store.leases import Leases, running_others
from scheduler.store.left_outcomes import LeftOutcomes
from scheduler.store.outcomes import RESTART_LIMIT, STOPPED, OldThread, Outcome
from scheduler.store.runs import Claim, Claimer, NotStarted
from scheduler.store.schema import CAN_BE_DUE, HAS_THREAD_TO_DELETE, IS_PENDING, IS_RUNNING, IS_WAITING
from scheduler.store.schema import owners as owners_table
from scheduler.store.schema import runs as runs_table
from scheduler.store.schema import tasks as tasks_table
from scheduler.store.statements import Connection, Row, Statement
from scheduler.store.told import Told, note_batch, note_changed, note_ended

__all__ = [
    "RESTART_LIMIT",
    "STOPPED",
    "Claim",
    "Listed",
    "NotStarted",
    "OldThread",
    "Outcome",
    "PassResult",
    "Store",
    "Told",
    "database_at",
]

_DAY: Final = 86_400 * SECOND
_STEP_BACK: Final = SECOND
"""A clock that is so far behind the last pass was put back."""


@dataclass(slots=True)
class Listed:
    """A task that is not finished, as a listing shows it; not frozen, as that would make it three times as dear."""

    id: str
    definition: TaskDefinition | None
    zone: str
    anchor: int
    next_due: int | None
    paused: bool
    pause_reason: str | None
    problem: str | None
    open_status: RunStatus | None
    """The status of its open run, where there is one and no due time is to come."""


@dataclass(slots=True)
class PassResult:
    """What a pass found and did."""

    claims: list[Claim] = field(default_factory=list)
    not_started: list[NotStarted] = field(default_factory=list)
    """Due times that went into the history without being started."""
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    """Tasks that are left alone from now on, each with the reason."""
    lost: list[Outcome] = field(default_factory=list)
    """Outcomes that were not written, because their run had been taken over."""
    replaced: list[tuple[Outcome, str]] = field(default_factory=list)
    """Outcomes that the database refused, each with the reason; their runs are stored as `failed`."""
    unwritten: list[tuple[Outcome, str]] = field(default_factory=list)
    """Outcomes that it refused even as `failed`, each with the reason; their runs are stored as `running`."""
    taken_over: list[str] = field(default_factory=list)
    """Runs of this process that another one has declared dead."""
    cancels: list[str] = field(default_factory=list)
    """Runs of this process that are to be cancelled."""
    recovered: list[str] = field(default_factory=list)
    """Runs of dead processes that this pass has ended or put back into the queue."""
    has_more: bool = False
    """Whether something is due or waits that could not be started yet."""
    has_old_threads: bool = False
    """Whether there are threads of single runs to be deleted."""
    wake_at: int | None = None
    """When the next due time or retry comes, as far as the store knows."""
    told: Told | None = None
    """What has become of runs, if somebody listens."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What one read tells about the work there is."""

    next_due: int | None
    next_ready: int | None
    is_ready: bool
    has_foreign: bool
    has_cancels: bool
    has_expired: bool
    has_old_threads: bool
    has_lease: bool
    """Whether this process has its lease still, which another process may have taken."""


class Store:
    """The tasks and runs of one database, each call one committed transaction.

    All instants are microseconds since 1970. Every method raises `StoreError` when the database fails, and then
    nothing of the call is stored.
    """

    def __init__(self, database: Database, zone: str, history_limit: int, lease: int, retention: int) -> None:
        """Take the database, the zone of tasks that name none, and how much history is kept (runs a task; time)."""
        self.database = database
        self.thread = StoreThread()
        self._zone = zone
        self._history_limit = history_limit
        self._lease = lease
        self._retention = retention
        self._owner = owners.this_process()
        self.is_checkpointed: Callable[[TaskDefinition], bool] = lambda _task: False
        """Tells whether the graph of a task has a checkpointer; set before the first pass."""
        self.is_observed: Callable[[], bool] = lambda: False
        """Tells whether anybody wants to know what becomes of runs."""
        self._leases = Leases(lease)
        self._left = LeftOutcomes(database.file)
        self._is_unsure = False
        self._disowned: frozenset[str] = frozenset()
        self._last_pass = 0
        self._purge_at = 0

    def open(self, *, create: bool = True) -> None:
        """Open the database now, so that what is wrong with it is said now.

        Unless it is told to create the tables, it raises `StoreNotFoundError` where there are none.
        """
        if not create and not self.database.exists():
            raise StoreNotFoundError(self.database.name)
        with self.database.write() if create else self.database.read():
            pass

    # --- The face's calls ---

    def add_tasks(
        self, definitions: Sequence[TaskDefinition], now: int, *, refuse_passed: bool = False
    ) -> list[tuple[str, str]]:
        """Add tasks or replace those with the same id; return those left out, each with the reason.

        Raises `ValueError`, and then nothing is stored. `refuse_passed`: also for a task that has no due time left and
        whose id was never stored.
        """
        prepared = [adding.prepare(definition, self._zone) for definition in definitions]
        with self.database.write() as connection:
            return adding.add(connection, prepared, now, refuse_passed=refuse_passed)

    def apply_tasks(
        self, definitions: Sequence[TaskDefinition], source: str, now: int, *, prune: bool, dry_run: bool
    ) -> TaskChanges:
        """Add or replace what `source` brings, and remove what it no longer brings, all or none. Raises `ValueError`.

        A dry run does it all, and is undone.
        """
        prepared = [adding.prepare(definition, self._zone, source) for definition in definitions]
        with self.database.write() as connection:
            changes = adding.apply(connection, prepared, source, now, prune=prune)
            if dry_run:
                connection.undo()
        return changes

    def remove_task(self, task_id: str, now: int) -> None:
        """Remove a task. Raises `TaskNotFoundError`."""
        with self.database.write() as connection:
            tasks.remove(connection, task_id, now)

    def pause_task(self, task_id: str, now: int) -> None:
        """Pause a task. Raises `TaskNotFoundError`."""
        with self.database.write() as connection:
            tasks.pause(connection, task_id, now)

    def resume_task(self, task_id: str, now: int) -> None:
        """Resume a task. Raises `TaskNotFoundError`."""
        with self.database.write() as connection:
            tasks.resume(connection, task_id, now)

    def trigger_task(self, task_id: str, now: int) -> str:
        """Queue a run by hand; return its id. Raises `TaskNotFoundError`."""
        with self.database.write() as connection:
            return runs.trigger(connection, task_id, now, self._history_limit)

    def answer_run(self, run_id: str, value: object, now: int) -> None:
        """Answer a waiting run. Raises `RunNotFoundError`, `ValueError`."""
        with self.database.write() as connection:
            outcomes.answer(connection, run_id, value, now)

    def get_task(self, task_id: str) -> TaskDefinition:
        """Return a definition. Raises `TaskNotFoundError`."""
        with self.database.read() as connection:
            return tasks.get(connection, task_id)

    def get_run(self, run_id: str) -> Run:
        """Return a run. Raises `RunNotFoundError`."""
        with self.database.read() as connection:
            return history.read_run(connection, run_id)

    def list_runs(
        self, task_id: str | None, status: RunStatus | None, limit: int, since: int | None = None
    ) -> list[Run]:
        """Return runs, newest first."""
        with self.database.read() as connection:
            return history.read_runs(connection, task_id, status, since, limit)

    def running_schedulers(self, now: int) -> int:
        """Return how many schedulers have a lease here."""
        with self.database.read() as connection:
            return owners.count_alive(connection, self._owner, now)

    def queue_depth(self, now: int) -> int:
        """Return how many runs could begin and have not begun: tasks that are due, and runs that are pending."""
        with self.database.read() as connection:
            return int(connection.execute(_QUEUE_DEPTH, {"now": now}).scalars()[0])

    def list_tasks(self) -> list[Listed]:
        """Return the tasks that are not finished, by next due time."""
        with self.database.read() as connection:
            rows = tasks.unfinished(connection)
            open_runs = tasks.open_statuses(connection, [row.id for row in rows if row.next_due is None])
        return [_listed(row, open_runs.get(row.id)) for row in rows]

    def find_task(self, task_id: str) -> Listed | None:
        """Return one task that is not finished, or None."""
        with self.database.read() as connection:
            row = tasks.find(connection, task_id)
            return None if row is None else _listed(row, None)

    def close(self) -> None:
        """Close the database and end the store's thread; a later call opens them again."""
        self.thread.close()
        self.database.close()

    # --- The scheduler's calls ---

    def threads_to_delete(self, now: int) -> list[OldThread]:
        """Return the threads of single runs that have been kept long enough; some at a time."""
        with self.database.read() as connection:
            return outcomes.threads_to_delete(connection, now)

    def keep_thread(self, run_id: str, until: int | None) -> None:
        """Note until when the thread of a run is kept; None: it is gone."""
        with self.database.write() as connection:
            history.keep_thread(connection, run_id, until)

    def begin(self, now: int) -> None:
        """Open the database and take a lease, before the first pass."""
        self._owner = owners.this_process()
        with self.database.write() as connection:
            self._leases.begin(connection, self._owner, now)
        self._last_pass = now
        self._purge_at = now
        self._is_unsure = False
        self._disowned = frozenset()
        self._left.looks_for_all = True

    def keep_lease(self, clock: Clock) -> bool:
        """Renew the lease if passes are late with it; return False if another process has ended it. From any thread."""
        return not self._leases.is_late(clock.now()) or self._leases.keep(self.database, self._owner, clock)

    def end(self, results: Sequence[Outcome], now: int, steps: Steps = ()) -> PassResult:
        """Write the last outcomes and give the lease back."""

        def write_and_retire(write: Write) -> PassResult:
            with self.database.write(PASS_TIMEOUT) as connection:
                result = self._finish(connection, now, results, steps, write)
                if self._is_unsure:
                    outcomes.take_back_unlaunched(connection, self._owner.id, ())
                owners.retire(connection, self._owner.id)
            return result

        return _isolating(write_and_retire)

    def leave(self, results: Sequence[Outcome]) -> Path | None:
        """Keep the last outcomes in a file, if `end` has failed and the store is one; return its path, else None.

        Raises `OSError`.
        """
        return self._left.leave(self._owner.id, results) if results else None

    def run_pass(  # noqa: PLR0913, PLR0917 (all that a pass has to know)
        self,
        now: int,
        slots: int | None,
        results: Sequence[Outcome],
        running: Collection[str],
        early: int = 0,
        steps: Sequence[tuple[Claim, str]] = (),
    ) -> PassResult:
        """Write outcomes, see to leases, take what is due: one read if there is nothing to do, else one transaction.

        `slots` is how many runs may be started (None: due times are left alone altogether), `running` holds the ids
        of the runs that this process has going, `steps` what streaming runs have finished. Due times may be claimed up
        to `early` before they come; the pass that does so is best made half as long before.
        """
        self._notice_clock(now)
        if not results and not steps and not self._is_unsure and not self._leases.is_due(now):
            with self.database.read(PASS_TIMEOUT) as connection:
                look = self._look(connection, now)
            if not self._has_work(look, now, slots, running, early):
                return PassResult(wake_at=_wake_at(look, now, 0, early), has_old_threads=look.has_old_threads)

        def write_and_work(write: Write) -> PassResult:
            with self.database.write(PASS_TIMEOUT) as connection:
                result = self._finish(connection, now, results, steps, write)
                self._work(connection, now, slots, running, early=early, result=result)
            return result

        result = _isolating(write_and_work)
        self._left.committed()
        return result

    def failed(self, now: int) -> None:
        """Note that the database could not be used: for the length of a lease, no lease is taken as ended.

        A commit that failed may have been stored all the same, with claims that nobody has launched, or may have
        undone a renewal.
        """
        self._leases.distrust(now)
        self._leases.renew_soon()
        self._is_unsure = True

    def _finish(
        self, connection: Connection, now: int, results: Sequence[Outcome], steps: Steps, write: Write
    ) -> PassResult:
        written = write(connection, self._owner.id, steps, results, now)
        result = PassResult(told=Told() if self.is_observed() else None)
        self._note(connection, result, written)
        return result

    def _note(self, connection: Connection, result: PassResult, written: Written) -> None:
        """Add to the result of a pass what has become of outcomes."""
        result.lost += written.lost
        result.replaced += written.replaced
        result.unwritten += written.unwritten
        result.quarantined += [(each.claim.task.id, each.quarantine) for each in written.outcomes if each.quarantine]
        if result.told:
            note_ended(connection, result.told, written.outcomes, written.lost)

    def _work(  # noqa: PLR0913 (what `run_pass` takes, and what it has done so far)
        self,
        connection: Connection,
        now: int,
        slots: int | None,
        running: Collection[str],
        *,
        early: int,
        result: PassResult,
    ) -> None:
        if self._is_unsure:
            outcomes.take_back_unlaunched(connection, self._owner.id, running)
            self._is_unsure = False
        result.taken_over = self._leases.renew(connection, self._owner, now, running)
        # A further attempt of a run does not begin here beside one that was taken over and is still going.
        self._disowned = self._disowned.union(result.taken_over).intersection(running)
        expired = outcomes.expire(connection, now)
        # Before what is due is looked at: a run that nobody makes any more is in nobody's way.
        others = running_others(connection, self._owner)
        self._note(connection, result, self._left.take_in(connection, others, now))
        result.recovered = self._leases.recover(connection, self._owner, others, now)
        if result.told:
            note_changed(connection, result.told, [*expired, *result.recovered])
        if slots is not None:
            batch = runs.claim(connection, self._claimer(), now, slots, now + early)
            result.claims, result.not_started = batch.claims, batch.not_started
            result.quarantined += batch.quarantined
            if result.told:
                note_batch(connection, result.told, batch)
        self._purge(connection, now)
        look = self._look(connection, now)
        if look.has_cancels:
            result.cancels = runs.cancel_requests(connection, self._owner.id)
        result.has_old_threads = look.has_old_threads
        result.has_more = look.is_ready or (look.next_due is not None and look.next_due <= now)
        free = (slots or 0) - len(result.claims)
        result.wake_at = now if result.recovered and free else _wake_at(look, now, free, early)

    def _claimer(self) -> Claimer:
        return Claimer(self._owner.id, self._history_limit, self.is_checkpointed, self._disowned)

    def _has_work(self, look: _Look, now: int, slots: int | None, running: Collection[str], early: int) -> bool:
        may_claim = slots is not None and (slots > 0 or bool(running))
        is_due = look.next_due is not None and look.next_due <= now + early and may_claim
        waits = (look.is_ready and bool(slots)) or look.has_expired
        others = look.has_foreign or look.has_cancels or not look.has_lease
        return is_due or waits or others or self._left.looks_for_all or now >= self._purge_at

    def _look(self, connection: Connection, now: int) -> _Look:
        [row] = connection.execute(_LOOK, {"now": now, "me": self._owner.id})
        return _Look(
            row.next_due,
            row.next_ready,
            bool(row.is_ready),
            bool(row.has_foreign),
            bool(row.has_cancels),
            bool(row.has_expired),
            bool(row.has_old_threads),
            bool(row.has_lease),
        )

    def _notice_clock(self, now: int) -> None:
        """Look at how far the clock has come since the last pass.

        After a long absence the leases of others are distrusted: they may have been suspended like this process. A
        clock that was put back must not leave tasks waiting for the hour that comes a second time.
        """
        if now < self._last_pass - _STEP_BACK:
            with self.database.write(PASS_TIMEOUT) as connection:
                tasks.reckon_again(connection, now)
            self._leases.renew_soon()
            self._purge_at = now
        if abs(now - self._last_pass) > self._lease // 2:
            self._leases.distrust(now)
        self._last_pass = now

    def _purge(self, connection: Connection, now: int) -> None:
        if now >= self._purge_at:
            owners.forget(connection, now - _DAY)
            if tasks.purge(connection, now - self._retention) == 0:
                self._purge_at = now + _DAY


def _isolating(transaction: Callable[[Write], PassResult]) -> PassResult:
    """Make a transaction with all that is to be written; if some of it is refused, make it anew, one by one."""
    try:
        return transaction(write_together)
    except RefusedError:
        return transaction(write_one_by_one)


def _wake_at(look: _Look, now: int, slots: int, early: int) -> int | None:
    due = look.next_due
    if due is not None and due > now + early:
        due -= early // 2  # what comes sooner was left alone on purpose until it is due
    moments = [moment for moment in (due, look.next_ready) if moment is not None]
    # What is due already waits for a slot; the end of a run makes the next pass.
    return min((moment for moment in moments if moment > now or slots > 0), default=None)


def _listed(row: Row, open_status: str | None) -> Listed:
    return Listed(
        id=row.id,
        definition=tasks.read_definition(row),
        zone=row.zone,
        anchor=row.anchor,
        next_due=row.next_due,
        paused=bool(row.paused),
        pause_reason=row.pause_reason,
        problem=row.problem,
        open_status=None if open_status is None else RunStatus(open_status),
    )


_DUE_ORDER: Final = select(tasks_table.c.next_due).where(CAN_BE_DUE).order_by(tasks_table.c.next_due).limit(1)
_LOOK: Final = Statement(
    lambda: select(
        _DUE_ORDER.scalar_subquery().label("next_due"),
        select(func.min(runs_table.c.ready_at))
        .where(IS_PENDING, runs_table.c.ready_at > bindparam("now"))
        .scalar_subquery()
        .label("next_ready"),
        exists().where(IS_PENDING, runs_table.c.ready_at <= bindparam("now")).label("is_ready"),
        exists().where(IS_RUNNING, runs_table.c.owner != bindparam("me")).label("has_foreign"),
        exists()
        .where(IS_RUNNING, runs_table.c.owner == bindparam("me"), runs_table.c.cancel_requested == 1)
        .label("has_cancels"),
        exists().where(IS_WAITING, runs_table.c.expires_at <= bindparam("now")).label("has_expired"),
        exists().where(HAS_THREAD_TO_DELETE, runs_table.c.thread_until <= bindparam("now")).label("has_old_threads"),
        exists().where(owners_table.c.id == bindparam("me")).label("has_lease"),
    )
)
_QUEUE_DEPTH: Final = Statement(
    lambda: select(
        select(func.count()).where(CAN_BE_DUE, tasks_table.c.next_due <= bindparam("now")).scalar_subquery()
        + select(func.count()).where(IS_PENDING, runs_table.c.ready_at <= bindparam("now")).scalar_subquery()
    )
)
