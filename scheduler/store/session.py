"""One scheduler on a store: its lease, its passes, its last outcomes."""

import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import bindparam, func, select

from scheduler.models import TaskDefinition
from scheduler.store import clock_steps, history, outcomes, owners, queue, tasks
from scheduler.store.claims import Claim, Claimer
from scheduler.store.clock_steps import STEP_BACK, ClockWatch
from scheduler.store.committed import (
    Committed,
    note_batch,
    note_changed,
    note_ended,
    note_expiring,
    note_finished,
    note_newest,
)
from scheduler.store.database.interface import PASS_TIMEOUT, Database
from scheduler.store.database.statements import Connection, Statement
from scheduler.store.expiring import find_expiring
from scheduler.store.isolation import RefusedError, Steps, Write, Written, write_one_by_one, write_together
from scheduler.store.kept_threads import OldThread, threads_to_delete
from scheduler.store.leases import Leases, running_others
from scheduler.store.left_outcomes import LeftOutcomes
from scheduler.store.outcomes import Chance, Outcome
from scheduler.store.pass_result import PassResult
from scheduler.store.schema import CAN_BE_DUE, IS_PENDING
from scheduler.store.schema import runs as runs_table
from scheduler.store.schema import tasks as tasks_table
from scheduler.store.snapshot import take_snapshot
from scheduler.store.store_thread import StoreThread
from scheduler.store.unloadable import Loaded, NeedsLoading, note_loaded, retry
from scheduler.timing.clock import SECOND, Clock

_DAY: Final = 86_400 * SECOND


class SchedulerSession:
    """What one scheduler does on a store: it takes a lease (`begin`), makes passes, and gives the lease back (`end`).

    It can begin again after its end, as another owner. Passes are made one after another, in `thread`; only
    `keep_lease` and `queue_depth` may be called beside one. All instants are microseconds since 1970. Every method
    raises `StoreError` when the database fails, and then nothing of the call is stored.
    """

    def __init__(  # noqa: PLR0913 (what a scheduler is configured with)
        self,
        database: Database,
        history_limit: int,
        lease: int,
        retention: int,
        *,
        needs_loading: NeedsLoading,
        is_checkpointed: Callable[[TaskDefinition], bool],
        is_observed: Callable[[], bool],
        thread: StoreThread | None = None,
        processes: owners.Processes | None = None,
        chance: Chance = random.random,
        grace: float | None = None,
        timeout: float | None = None,
        held: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """Open nothing yet.

        Args:
            database: where tasks and runs are.
            history_limit: how many runs are kept for each task.
            lease: how long the runs of a scheduler count as running without a renewal.
            retention: how long finished tasks are kept.
            needs_loading: returns the code of a task that must be loaded before the task can run in this process.
            is_checkpointed: returns whether the graph of a task has a checkpointer.
            is_observed: returns whether anybody receives events about runs.
            thread: the thread of the passes; None: one of its own.
            processes: knows who this process is, and which others have ended; None: those of this machine.
            chance: returns a random number from 0 to 1, by which the waits between attempts vary.
            grace: `misfire_grace_seconds` of tasks that set none.
            timeout: `timeout_seconds` of tasks that set none.
            held: returns the LangGraph threads that the program itself is using.
        """
        self.database = database
        self.thread: StoreThread = StoreThread() if thread is None else thread
        self._history_limit = history_limit
        self._lease = lease
        self._retention = retention
        self._needs_loading = needs_loading
        self._is_checkpointed = is_checkpointed
        self._is_observed = is_observed
        self._processes = owners.Processes() if processes is None else processes
        self._chance = chance
        self._grace = grace
        self._timeout = timeout
        self._held = held
        self._owner = self._processes.new_owner()
        self._leases = Leases(lease, self._processes)
        self._left = LeftOutcomes(database.file, chance)
        self._is_unsure = self._leaves_tasks = self._has_expiring = False
        self._disowned: frozenset[str] = frozenset()
        self._clock = ClockWatch(lease)
        self._purge_at = 0

    def close(self) -> None:
        """End the thread and close the database; a later call opens them again."""
        self.thread.close()
        self.database.close()

    def threads_to_delete(self, now: int) -> list[OldThread]:
        """Return the threads of single runs that have been kept long enough; some at a time."""
        with self.database.read() as connection:
            return threads_to_delete(connection, now)

    def keep_thread(self, run_id: str, until: int | None) -> None:
        """Note until when the thread of a run is kept; None: it is gone."""
        with self.database.write() as connection:
            history.keep_thread(connection, run_id, until)

    def begin(self, now: int) -> None:
        """Open the database and take a lease, before the first pass. What was quarantined is looked at again."""
        self._owner = self._processes.new_owner()
        with self.database.write() as connection:
            self._clock.begin(connection, now)
            tasks.release_quarantined(connection)
            self._leases.begin(connection, self._owner, now)
        self._purge_at = now
        self._is_unsure = self._leaves_tasks = False
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
                _note_tasks(connection, result, now)
                if self._is_unsure:
                    outcomes.take_back_unlaunched(connection, self._owner.id, (), now)
                owners.retire(connection, self._owner.id)
                clock_steps.note(connection, now)
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
        loaded: Sequence[Loaded] = (),
    ) -> PassResult:
        """Write outcomes, see to leases, take what is due: one read if there is nothing to do, else one transaction.

        `slots` is how many runs may be started (None: due times are ignored), `running` holds the ids
        of the runs that this process has going, `steps` what streaming runs have finished, `loaded` what came of
        loading code. Due times may be claimed up to `early` before they come; the pass that does so is best made half
        as long before.
        """
        self._notice_clock(now)
        is_due = self._is_unsure or self._leases.is_due(now) or self._clock.is_due(now)
        if not results and not steps and not loaded and not is_due:
            with self.database.read(PASS_TIMEOUT) as connection:
                snapshot = take_snapshot(connection, self._owner.id, now)
            self._has_expiring = snapshot.has_expiring
            is_due = self._left.looks_for_all or now >= self._purge_at
            if not is_due and not snapshot.has_work(now, slots, early, is_running=bool(running)):
                return PassResult(wake_at=snapshot.wake_at(now, 0, early), has_old_threads=snapshot.has_old_threads)

        def write_and_work(write: Write) -> PassResult:
            with self.database.write(PASS_TIMEOUT) as connection:
                result = self._finish(connection, now, results, steps, write)
                result.unloadable = note_loaded(connection, self._owner.id, loaded, now)
                self._work(connection, now, slots, running, early=early, result=result)
            return result

        result = _isolating(write_and_work)
        self._left.committed()
        self._clock.committed()
        return result

    def failed(self, now: int) -> None:
        """Note that the database could not be used: for the length of a lease, no lease is taken as ended.

        A commit that failed may have been stored all the same, with claims that nobody has launched, or may have
        undone a renewal.
        """
        self._leases.distrust(now)
        self._leases.renew_soon()
        self._is_unsure = True

    def queue_depth(self, now: int) -> int:
        """Return how many runs are ready to start: tasks that are due, and runs that are pending."""
        with self.database.read() as connection:
            return int(connection.execute(_QUEUE_DEPTH, {"now": now}).scalars()[0])

    def _finish(
        self, connection: Connection, now: int, results: Sequence[Outcome], steps: Steps, write: Write
    ) -> PassResult:
        written = write(connection, self._owner.id, steps, results, now, self._chance)
        result = PassResult(committed=Committed() if self._is_observed() else None)
        self._note(connection, result, written)
        return result

    def _note(self, connection: Connection, result: PassResult, written: Written) -> None:
        """Add to the result of a pass what has become of outcomes."""
        result.lost += written.lost
        result.paused += written.paused
        result.replaced += written.replaced
        result.unwritten += written.unwritten
        if result.committed:
            note_ended(connection, result.committed, written.outcomes, written.lost)

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
            outcomes.take_back_unlaunched(connection, self._owner.id, running, now)
            self._is_unsure = False
        self._clock.settle(connection, now)
        result.taken_over = self._leases.renew(connection, self._owner, now, running)
        # A further attempt of a run does not begin here beside one that was taken over and is still running.
        self._disowned = self._disowned.union(result.taken_over).intersection(running)
        result.resumed = tasks.resume_expired(connection, now)
        expired = outcomes.expire(connection, now)
        # Before what is due is looked at: a run that nobody makes any more is in nobody's way.
        others = running_others(connection, self._owner)
        self._note(connection, result, self._left.take_in(connection, others, now))
        result.recovered = self._leases.recover(connection, self._owner, others, now)
        if self._has_expiring:
            result.expiring = find_expiring(connection, now)
        if result.committed:
            note_changed(connection, result.committed, [*expired, *result.recovered])
            note_expiring(connection, result.committed, result.expiring)
        # What was recovered or passed over may let a further pass start something.
        has_changed = bool(result.recovered)
        if slots is not None:
            has_changed |= self._claim(connection, now, slots, early=early, result=result)
        _note_tasks(connection, result, now)
        self._purge(connection, now)
        snapshot = take_snapshot(connection, self._owner.id, now)
        self._has_expiring = snapshot.has_expiring
        if snapshot.has_cancels:
            result.cancels = queue.cancel_requests(connection, self._owner.id)
        result.has_old_threads = snapshot.has_old_threads
        result.has_more = snapshot.is_ready or (snapshot.next_due is not None and snapshot.next_due <= now)
        free = (slots or 0) - len(result.claims)
        result.wake_at = now if has_changed and free else snapshot.wake_at(now, free, early)

    def _claim(self, connection: Connection, now: int, slots: int, *, early: int, result: PassResult) -> bool:
        """Take what is due, except tasks that cannot be loaded here, which are looked at from time to time.

        Return whether something was passed over that another pass may start.
        """
        if self._leaves_tasks:
            result.unloadable += retry(connection, self._owner.id, self._needs_loading, now)
        # What cannot be loaded here has been left to others for one lease length before it counts as too late.
        late_until = now - self._lease if result.unloadable.has_failed else None
        batch = queue.claim(connection, self._claimer(), now, slots, now + early, late_until=late_until)
        result.claims, result.not_started = batch.claims, batch.not_started
        result.quarantined = batch.quarantined
        result.expiring.tasks.extend(batch.last_runs)
        result.unloadable += batch.unloadable
        self._leaves_tasks = self._leaves_tasks or batch.leaves_tasks
        if result.committed:
            note_batch(connection, result.committed, batch)
        return batch.has_passed_over

    def _claimer(self) -> Claimer:
        return Claimer(
            self._owner.id,
            self._history_limit,
            self._is_checkpointed,
            self._disowned,
            held=self._held,
            needs_loading=self._needs_loading,
            grace=self._grace,
            timeout=self._timeout,
        )

    def _notice_clock(self, now: int) -> None:
        """Look at how far the clock has moved since the last pass.

        After a long absence the leases of others are distrusted: they may have been suspended like this process.
        """
        moved = self._clock.look(now)
        is_set_back = moved < -STEP_BACK
        if is_set_back:
            self._leases.renew_soon()
            self._purge_at = now
        if is_set_back or moved > self._lease // 2:
            self._leases.distrust(now)

    def _purge(self, connection: Connection, now: int) -> None:
        if now >= self._purge_at:
            owners.forget(connection, now - _DAY)
            if tasks.purge(connection, now - self._retention) == 0:
                self._purge_at = now + _DAY


def _note_tasks(connection: Connection, result: PassResult, now: int) -> None:
    """Note for those who listen what has become of tasks, and their newest runs."""
    if result.committed is None:
        return
    note_finished(connection, result.committed, now)
    changed = *result.quarantined, *result.paused, *result.expiring.tasks
    note_newest(connection, result.committed, [task_id for task_id, _ in changed])


def _isolating(transaction: Callable[[Write], PassResult]) -> PassResult:
    """Make a transaction with all that is to be written; if some of it is refused, make it again, one by one."""
    try:
        return transaction(write_together)
    except RefusedError:
        return transaction(write_one_by_one)


_QUEUE_DEPTH: Final = Statement(
    lambda: select(
        select(func.count()).where(CAN_BE_DUE, tasks_table.c.next_due <= bindparam("now")).scalar_subquery()
        + select(func.count()).where(IS_PENDING, runs_table.c.ready_at <= bindparam("now")).scalar_subquery()
    )
)
