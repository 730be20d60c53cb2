"""Our AsyncIOScheduler: a safe, coalesced wakeup, one transaction a pass, and a stop that drains."""

import asyncio
import concurrent.futures
import contextlib
import functools
import time
from collections.abc import Callable, Collection
from typing import Final, TypeVar

from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers import SchedulerAlreadyRunningError, SchedulerNotRunningError
from apscheduler.schedulers.base import STATE_PAUSED, BaseScheduler

from scheduler import _containment, current_call, gc_control, logbook
from scheduler.apscheduler_adapter.events import not_started_event
from scheduler.apscheduler_adapter.executor import RunExecutor
from scheduler.apscheduler_adapter.guarded import TASKS, GuardedScheduler
from scheduler.apscheduler_adapter.jobstore import RUNS, TaskJobStore
from scheduler.engine.attempts import Runner, marked
from scheduler.engine.claim_ahead import ClaimAhead
from scheduler.engine.code_loader import CodeLoader
from scheduler.engine.heartbeat import Heartbeat, LoopSigns
from scheduler.engine.last_outcomes import write_last
from scheduler.engine.outage import Outage
from scheduler.engine.pass_log import log_pass
from scheduler.engine.settings import LoopSettings
from scheduler.engine.signals import Signal
from scheduler.engine.thread_cleanup import ThreadCleanup
from scheduler.engine.ticker import Ticker
from scheduler.errors import NoEventLoopError, StillStoppingError, StoreError
from scheduler.observing import Observers
from scheduler.store import NotStarted, Outcome, PassResult, Store
from scheduler.timing.clock import Clock, Moment

T = TypeVar("T")

_OUTCOME_DELAY, _LONGEST_OUTCOME_DELAY = 0.02, 0.1
"""How long an outcome may wait for others to be written with, in seconds; the longest while further runs wait."""
_CANCEL_PATIENCE: Final = 5.0
"""How long cancelled runs are waited for, in seconds."""


class StoreScheduler(GuardedScheduler):
    """APScheduler's `AsyncIOScheduler`, whose due times come from the store.

    `start`, `shutdown` and `wakeup` are overridden, as its documentation provides for; `_process_jobs` is the stock
    one.
    """

    _eventloop: asyncio.AbstractEventLoop | None

    def __init__(  # noqa: PLR0913, PLR0917 (its parts)
        self,
        store: Store,
        runner: Runner,
        clock: Clock,
        settings: LoopSettings,
        observers: Observers,
        ticker: Ticker,
    ) -> None:
        """Take the store, what makes attempts, the clock, who wants to know, and what drives the heartbeat."""
        self._store = store
        self._runner = runner
        self._clock = clock
        self._settings = settings
        self._observers = observers
        self._tasks = TaskJobStore(store)
        attempt, slots = marked(observers.observed(runner.run), observers), settings.max_concurrent_runs
        self._runs = RunExecutor(attempt, clock, slots, settings.lease_seconds, self._run_has_ended)
        signs = LoopSigns(lambda: not self._outage.is_on, self._runs.longest_timeout, self.wakeup)
        self._heartbeat = Heartbeat(store, clock, settings.lease_seconds, ticker, signs)
        self._wanted = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._stopped: concurrent.futures.Future[None] | None = None
        self._stopping = self._was_cancelled = False
        self._grace = settings.shutdown_grace_seconds
        self._outage = Outage(time.monotonic)
        self._thread_cleanup = ThreadCleanup(store, runner.delete_thread, clock)
        self._code = CodeLoader(runner.load_code, self.wakeup)
        self._has_more = False
        self._claim_ahead = ClaimAhead(0.0)
        self._flush: asyncio.TimerHandle | None = None
        self.pass_done = Signal()
        """Notified after each pass."""
        self.run_ended = Signal()
        """Notified when a run has ended; its outcome is written by the next pass."""
        # Ours comes first: a change of all jobs is refused before another job store has made it.
        super().__init__(
            timezone=settings.zone,
            jobstores={TASKS: self._tasks, "default": MemoryJobStore()},
            executors={RUNS: self._runs, "default": AsyncIOExecutor()},
        )

    def is_calling(self) -> bool:
        """Tell whether this code runs in a run or a listener of this scheduler, which has not ended."""
        return current_call.is_called_by(self._observers)

    # --- Starting and waking ---

    def start(self, paused: bool = False) -> None:  # noqa: FBT001, FBT002 (APScheduler's own signature)
        """Import the graph, open the store and begin to fire.

        Nothing that this starts sees the context variables of the caller, which may be one request of many.

        Raises `NoEventLoopError`, `GraphError`, `StoreError`, and APScheduler's `SchedulerAlreadyRunningError`.
        """
        _containment.new_context().run(self._start, paused)

    def _start(self, paused: bool) -> None:  # noqa: FBT001 (called by Context.run)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NoEventLoopError from None
        if self.running:
            raise SchedulerAlreadyRunningError
        if self.is_stopping:
            raise StillStoppingError
        self._runner.load()
        self._store.begin(self._clock.now())
        self._begin(loop)
        try:
            super().start(paused)
        except BaseException:
            # Such as two jobs of the user's own with the same id, which is found only now.
            self.abandon()
            raise
        self._supervisor = loop.create_task(self._supervise(), name="task scheduler")
        self._supervisor.add_done_callback(functools.partial(self._supervisor_has_ended, self.stopped()))
        self._heartbeat.start(loop)
        logbook.started(self._settings.max_concurrent_runs, self._store.database.name)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        gc_control.put_aside()
        if self._settings.sync_node_threads is not None:
            # LangGraph runs synchronous nodes in the loop's default executor. It stays when the scheduler stops, for
            # the program may use it too; the end of the loop (`asyncio.run`) shuts it down.
            workers = self._settings.sync_node_threads
            loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(workers, "sync node"))
        _containment.guard_tasks(loop)
        self._eventloop = loop
        self._wanted = asyncio.Event()
        self._runs.is_store_busy = self._stopping = self._was_cancelled = False
        self._outage = Outage(loop.time)
        self._has_more, self._claim_ahead, self._flush = False, ClaimAhead(loop.time()), None
        self._stopped = concurrent.futures.Future()

    @property
    def has_listeners(self) -> bool:
        """Whether anybody listens to APScheduler's own events."""
        return bool(self._listeners)

    @property
    def is_stopping(self) -> bool:
        """Whether a stop has begun and is not done."""
        return self._stopped is not None and not self._stopped.done()

    def wakeup(self) -> None:
        """Ask for a pass, from any thread; many requests before it begins become one."""
        loop = self._eventloop
        if loop is None or loop.is_closed():
            return
        if _is_running_here(loop):
            self._want_pass()
        else:
            # The loop may be closed at this very moment.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._want_pass)

    def _want_pass(self) -> None:
        self._wanted.set()
        if self._runs.is_store_busy:
            self._serve_other_jobs()

    def _serve_other_jobs(self) -> None:
        """Fire what other job stores have due: their jobs do not wait for the store, which may take its time."""
        if self._has_other_jobs() and not self._stopping:
            self._start_timer(self._process_jobs())

    def _process_jobs(self) -> float | None:
        """Do what APScheduler does; what a trigger of the user's own raises must not end the passes.

        A wake-up may come from any caller, such as a request that adds a job, so jobs get a new context here.
        """
        try:
            delay: float | None = _containment.new_context().run(super()._process_jobs)
        except BaseException as error:
            if _containment.must_pass(error):
                raise
            logbook.pass_failed(error)
            return None
        return delay

    def _has_other_jobs(self) -> bool:
        return any(store.get_next_run_time() for store in self._jobstores.values() if store is not self._tasks)

    def _run_has_ended(self) -> None:
        """Ask for a pass: at once where the next runs have to be fetched, else in a moment, with other outcomes."""
        self.run_ended.notify()
        if self._outage.is_on and not self._stopping:
            return  # The store fails; the next try writes this outcome with the others.
        if self._stopping or (self._is_short_of_runs() and not self._runs.is_store_busy):
            self._wanted.set()
        elif self._flush is None:
            self._flush_later(_OUTCOME_DELAY)

    def _is_short_of_runs(self) -> bool:
        return self._has_more and self._runs.queued <= self._claim_ahead.low

    def _flush_later(self, waited: float) -> None:
        self._flush = asyncio.get_running_loop().call_later(_OUTCOME_DELAY, self._want_flush, waited)

    def _want_flush(self, waited: float) -> None:
        """Have outcomes written; while runs wait to start, by the pass that fetches the next ones, if it comes soon."""
        self._flush = None
        if self._has_more and self._runs.queued and waited < _LONGEST_OUTCOME_DELAY:
            self._flush_later(waited + _OUTCOME_DELAY)
        elif self._runs.has_outcomes:
            self._wanted.set()

    # --- Passes ---

    async def _supervise(self) -> None:
        """Make passes until the stop, then drain; a cancellation (the end of `asyncio.run`) is a stop without grace."""
        try:
            while not self._stopping:
                await self._wanted.wait()
                self._wanted.clear()
                if not self._stopping:
                    await self._pass_or_retry()
            await self._wait_for_runs()
        except asyncio.CancelledError:
            self._was_cancelled = True
        await self._end()
        if self._was_cancelled:
            raise asyncio.CancelledError

    async def _pass_or_retry(self) -> None:
        """Make a pass, and arm the timer whatever happens."""
        delay: float | None = None
        try:
            delay = await self.run_pass()
            self._outage.succeeded()
        except Exception as error:  # noqa: BLE001 (nothing may end the passes)
            delay = self._note_failure(error)
        if not self._stopping:
            wait = self._settings.poll_interval
            self._start_timer(wait if delay is None else min(delay, wait))
        self.pass_done.notify()

    async def run_pass(self) -> float | None:
        """Make one pass: write outcomes, claim what is due, commit, launch.

        Returns how many seconds may pass until the next one, None if nothing is known to come. Raises `StoreError`.
        """
        began = Moment(self._clock.now(), asyncio.get_running_loop().time())
        result = await self._store_pass(began.wall, claiming=self.state != STATE_PAUSED)
        self._report(result)
        self._runs.cancel(result.cancels, "the task became due again (overlap=cancel_other)")
        self._runs.cancel(result.taken_over, "another process has taken it over")
        self._runs.confirm(began)
        if result.has_old_threads and not self._stopping:
            self._thread_cleanup.delete_some()
        if not self._stopping:
            self._code.load(result.unloadable.to_load)
        return self._launch(result)

    async def _store_pass(self, now: int, *, claiming: bool) -> PassResult:
        outcomes = self._runs.take_outcomes()
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        steps = self._observers.take_steps(at_once=bool(outcomes))
        self._claim_ahead.note_ended(len(outcomes), asyncio.get_running_loop().time())
        slots = max(0, self._runs.free_slots + self._claim_ahead.ahead) if claiming else None
        running, early, loaded = list(self._runs.running), self._claim_ahead.early, self._code.take()
        call = functools.partial(self._store.run_pass, now, slots, outcomes, running, early, steps, loaded)
        began = time.perf_counter()
        self._runs.is_store_busy = True
        self._tasks.offer([], None)
        self._serve_other_jobs()
        try:
            result = await self._in_thread(call)
        except Exception:
            self._runs.give_back(outcomes)
            self._observers.give_steps_back(steps)
            self._code.give_back(loaded)
            raise
        else:
            self._has_more = result.has_more
            self._claim_ahead.note_pass(time.perf_counter() - began)
            return result
        finally:
            self._runs.is_store_busy = False

    def _launch(self, result: PassResult) -> float | None:
        """Let the stock `_process_jobs` submit the claims; what it leaves goes back into the queue."""
        waiting = list(result.claims)
        self._tasks.offer(waiting, result.wake_at)
        delay: float | None = None
        try:
            if not self._stopping:
                delay = self._process_jobs()
        finally:
            self._tasks.take_back()
            running = self._runs.running
            left = [claim for claim in waiting if claim.run_id not in running]
            self._runs.release(left)
        if left or (self._runs.has_outcomes and self._is_short_of_runs()):
            self._wanted.set()
        return delay

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Call something in the store's thread; its result is waited for even if this task is cancelled meanwhile."""
        future = asyncio.get_running_loop().run_in_executor(self._store.thread.executor, call)
        while True:
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                self._was_cancelled = self._stopping = True
                self._runs.release_queued()

    def _report(self, result: PassResult) -> None:
        log_pass(result)
        for each in result.not_started:
            self._report_not_started(each)
        self._observers.pass_done(result)

    def _report_not_started(self, each: NotStarted) -> None:
        task = f"{each.name} ({each.task_id})"
        logbook.not_started(task, status=each.status, number=each.number, last=each.scheduled_at, reason=each.reason)
        self._dispatch_event(not_started_event(each))

    def queue_depth(self) -> int | None:
        """Return how many runs could begin and have not begun, from any thread; None where nothing fires."""
        if not self.running:
            return None
        with contextlib.suppress(StoreError):
            return self._store.queue_depth(self._clock.now())
        return None

    # --- When the store fails ---

    def _note_failure(self, error: Exception) -> float:
        """Return how long to wait before the next try."""
        self._store.failed(self._clock.now())
        self._observers.store_failed()
        return self._outage.failed(error)

    # --- Stopping ---

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 (APScheduler's own signature)
        """End firing at once, from any thread, and drain in the background; `wait=False` gives runs no grace.

        `stopped()` is done when the drain is. Raises APScheduler's `SchedulerNotRunningError`.
        """
        if not self.running:
            raise SchedulerNotRunningError
        loop = self._eventloop
        if loop is None or loop.is_closed():
            self.abandon()
        elif _is_running_here(loop):
            self._stop_firing(wait)
        else:
            loop.call_soon_threadsafe(self._stop_firing, wait)

    @property
    def is_orphaned(self) -> bool:
        """Whether the loop was closed under the scheduler while it ran or drained."""
        return self._eventloop is not None and self._eventloop.is_closed()

    def abandon(self) -> None:
        """Stop where no loop can drain: it was closed with its tasks in it. What was going is interrupted."""
        self._stopping = True
        # The stock executor cannot cancel the user's own functions on a loop that is closed.
        with contextlib.suppress(SchedulerNotRunningError, RuntimeError):
            BaseScheduler.shutdown(self, wait=False)
        self._runs.release_queued()
        self._runs.give_up()
        write_last(self._store, self._runs.take_outcomes(), (), self._clock, tries=1)
        self._heartbeat.stop()
        self._store.close()
        self._close_up()

    def _supervisor_has_ended(self, stopped: "concurrent.futures.Future[None]", _task: "asyncio.Task[None]") -> None:
        """Stop in the place of a supervisor that was cancelled before it had its first turn."""
        if not stopped.done():
            self.abandon()

    def stopped(self) -> "concurrent.futures.Future[None]":
        """Return what is done when the scheduler has stopped; it is done already if none was started."""
        if self._stopped is not None:
            return self._stopped
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        done.set_result(None)
        return done

    def _stop_firing(self, wait: bool) -> None:  # noqa: FBT001 (called by call_soon_threadsafe)
        if not self.running:
            return
        self._stopping = True
        self._grace = self._settings.shutdown_grace_seconds if wait else 0.0
        BaseScheduler.shutdown(self, wait)
        self._stop_timer()
        self._runs.release_queued()
        self._runner.drain()
        logbook.stopping(len(self._runs.running), self._grace)
        self._wanted.set()

    async def _wait_for_runs(self) -> None:
        """Give running runs their grace, and write how they end meanwhile."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._grace
        while self._runs.running and not self._was_cancelled and (left := deadline - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, self._settings.poll_interval)):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await self._write_while_draining()

    async def _write_while_draining(self) -> None:
        try:
            self._report(await self._store_pass(self._clock.now(), claiming=False))
            self._outage.succeeded()
        except Exception as error:  # noqa: BLE001 (the drain goes on; the outcomes are kept)
            self._note_failure(error)

    async def _end(self) -> None:
        """Cancel what still runs, write the last outcomes, and close the store."""
        self._stop_firing(wait=False)
        self._stopping = True
        try:
            await self._thread_cleanup.stop()
            self._code.stop()
            await self._outlast(self._runs.interrupt_all(but_cancelled=self._was_cancelled))
            self._runs.give_up()
            await self._write_last()
            await self._observers.end()
            # It would open the database again.
            await self._in_thread(self._heartbeat.stop)
            await self._in_thread(self._store.database.close)
        finally:
            self._close_up()

    async def _outlast(self, runs: Collection["asyncio.Task[Outcome]"]) -> None:
        """Wait for cancelled runs; the end of the loop, which cancels this task too, does not cut that short."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CANCEL_PATIENCE
        while runs and (left := deadline - loop.time()) > 0:
            try:
                _, runs = await asyncio.wait(runs, timeout=left)
                # The runs' ends are told by callbacks of their own.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._was_cancelled = True

    def _close_up(self) -> None:
        """Leave nothing open, and tell those who wait for the stop, whatever fails on the way."""
        try:
            self._heartbeat.stop()
            if self._eventloop is not None:
                _containment.stop_guarding(self._eventloop)
            gc_control.take_back()
            self._store.thread.close(wait=False)
        finally:
            self._eventloop = None
            logbook.stopped()
            if self._stopped is not None:
                self._stopped.set_result(None)

    async def _write_last(self) -> None:
        outcomes, steps = self._runs.take_outcomes(), self._observers.take_steps(at_once=True)
        # All tries in the thread, where a cancellation does not cut them short.
        result = await self._in_thread(functools.partial(write_last, self._store, outcomes, steps, self._clock))
        if result is not None:
            self._report(result)


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
