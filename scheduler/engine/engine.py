"""The engine of a scheduler: its life from a start to a stop. It can be started again."""

import asyncio
import concurrent.futures
import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass

from scheduler import _containment, current_call, gc_control, logbook
from scheduler.engine.attempts import marked
from scheduler.engine.dependencies import Dependencies
from scheduler.engine.drain import Drain
from scheduler.engine.heartbeat import Heartbeat, LoopSigns
from scheduler.engine.last_outcomes import write_last
from scheduler.engine.lifecycle import Lifecycle, State
from scheduler.engine.pass_loop import PassLoop, Signals
from scheduler.engine.run_slots import OnEnd
from scheduler.engine.signals import Signal
from scheduler.engine.store_calls import StoreCalls
from scheduler.errors import StillStoppingError, StoreError
from scheduler.store import Claim


@dataclass(frozen=True, slots=True)
class _Started:
    """What one start makes."""

    loop: asyncio.AbstractEventLoop
    passes: PassLoop
    drain: Drain


class Engine:
    """Makes passes and runs what they claim, on the event loop on which it was started.

    `Lifecycle` has its states. `start`, `stop` and the end of the event loop move it; `wakeup` asks for a pass.
    """

    def __init__(self, parts: Dependencies) -> None:
        """Take the parts; nothing is opened or started."""
        self._parts = parts
        self._lifecycle = Lifecycle()
        self._attempt = marked(parts.observers.observed(parts.runner.run), parts.observers)
        signs = LoopSigns(self._is_healthy, self._longest_timeout, self.wakeup)
        self._heartbeat = Heartbeat(parts.session, parts.clock, parts.settings.lease_seconds, parts.ticker, signs)
        self._signals = Signals(Signal(), Signal())
        self._started: _Started | None = None

    # --- Looking ---

    @property
    def pass_done(self) -> Signal:
        """Notified after each pass."""
        return self._signals.pass_done

    @property
    def run_ended(self) -> Signal:
        """Notified when a run has ended; its outcome is written by the next pass."""
        return self._signals.run_ended

    @property
    def is_stopping(self) -> bool:
        """Whether a stop is in progress."""
        return self._lifecycle.is_stopping

    @property
    def is_orphaned(self) -> bool:
        """Whether the loop was closed under the engine while it ran or drained."""
        return self._started is not None and self._started.loop.is_closed()

    def is_calling(self) -> bool:
        """Tell whether this code runs in a run or a listener of this engine, which has not ended."""
        return current_call.is_called_by(self._parts.observers)

    def stopped(self) -> "concurrent.futures.Future[None]":
        """Return what is done when the engine has stopped; it is done already if none was started."""
        return self._lifecycle.stopped()

    def queue_depth(self) -> int | None:
        """Return how many runs are ready to start, from any thread; None where nothing fires."""
        if not self._lifecycle.fires:
            return None
        with contextlib.suppress(StoreError):
            return self._parts.session.queue_depth(self._parts.clock.now())
        return None

    def _is_healthy(self) -> bool:
        return self._started is None or not self._started.passes.outage.is_on

    def _longest_timeout(self) -> float:
        started = self._started
        return 0.0 if started is None else started.passes.slots.longest_timeout()

    # --- Starting and waking ---

    def start(self, start_host: Callable[[], None] | None = None) -> None:
        """Import the graph, open the store and begin to fire on the running event loop.

        `start_host` is called when everything is ready, in place of `wakeup`; if it raises, the engine stops again.

        Raises `GraphError`, `StoreError` and `StillStoppingError`.
        """
        if self.is_stopping:
            raise StillStoppingError
        loop = asyncio.get_running_loop()
        self._parts.runner.load()
        self._parts.session.begin(self._parts.clock.now())
        started = self._begin(loop)
        try:
            (start_host or self.wakeup)()
        except BaseException:
            self.abandon()
            raise
        supervisor = loop.create_task(self._supervise(started), name="task scheduler")
        supervisor.add_done_callback(functools.partial(self._supervisor_has_ended, self.stopped()))
        self._heartbeat.start(loop)
        logbook.scheduler_started(self._parts.settings.max_concurrent_runs, self._parts.session.database.name)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> _Started:
        if self._parts.settings.freeze_gc:
            gc_control.freeze()
        if self._parts.settings.sync_node_threads is not None:
            # LangGraph runs synchronous nodes in the loop's default executor. It stays when the scheduler stops, for
            # the program may use it too; the end of the loop (`asyncio.run`) shuts it down.
            workers = self._parts.settings.sync_node_threads
            loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(workers, "sync node"))
        _containment.guard_tasks(loop)
        parts, lifecycle = self._parts, self._lifecycle
        lifecycle.begin()
        calls = StoreCalls(lambda: parts.session.thread.executor, self._cut_short)
        passes = PassLoop(parts, lifecycle, self._attempt, self._signals, calls)
        self._started = _Started(loop, passes, Drain(parts, lifecycle, passes, calls, self._heartbeat))
        return self._started

    def submit(self, claim: Claim, on_end: OnEnd) -> None:
        """Start a claim of the last pass when its time has come and a slot is free."""
        if self._started is not None:
            self._started.passes.slots.submit(claim, on_end)

    def wakeup(self) -> None:
        """Ask for a pass, from any thread; many requests before it begins become one."""
        started = self._started
        if started is None or started.loop.is_closed():
            return
        if _is_running_here(started.loop):
            started.passes.want()
        else:
            # The loop may be closed at this very moment.
            with contextlib.suppress(RuntimeError):
                started.loop.call_soon_threadsafe(started.passes.want)

    async def _supervise(self, started: _Started) -> None:
        """Make passes until the stop, then drain; a cancellation (the end of `asyncio.run`) is a stop without grace."""
        try:
            await started.passes.run()
            await started.drain.wait_for_runs()
        except asyncio.CancelledError:
            self._cut_short()
        try:
            await started.drain.close()
        finally:
            was_cancelled = self._lifecycle.state is State.CANCELLED
            self._close_up()
        if was_cancelled:
            raise asyncio.CancelledError

    # --- Stopping ---

    def stop(self, *, wait: bool = True) -> None:
        """End firing, from any thread, and drain in the background; `wait=False` gives runs no grace.

        `stopped()` is done when the drain is.
        """
        grace = self._parts.settings.shutdown_grace_seconds if wait else 0.0
        started = self._started
        if started is None or started.loop.is_closed():
            self.abandon()
        elif _is_running_here(started.loop):
            self._stop_firing(grace)
        else:
            started.loop.call_soon_threadsafe(self._stop_firing, grace)

    def _stop_firing(self, grace: float) -> None:
        if not self._lifecycle.fires or self._started is None:
            return
        self._lifecycle.drain(grace)
        self._parts.host.stop_firing(wait=grace > 0)
        passes = self._started.passes
        passes.slots.release_queued()
        self._parts.runner.drain()
        logbook.scheduler_stopping(len(passes.slots.running), grace)
        passes.want()

    def _cut_short(self) -> None:
        """Stop without grace: the event loop ends."""
        try:
            self._stop_firing(grace=0.0)
        finally:
            self._lifecycle.cancel()

    def abandon(self) -> None:
        """Stop where no loop can drain: it was closed with its tasks in it. Runs that were running are interrupted."""
        if self._lifecycle.state is not State.STOPPED:
            self._lifecycle.cancel()
        with contextlib.suppress(RuntimeError):  # what the host still has on a loop that is closed
            self._parts.host.stop_firing(wait=False)
        outcomes = []
        if self._started is not None:
            slots = self._started.passes.slots
            slots.release_queued()
            slots.give_up()
            outcomes = self._started.passes.outcomes.take()
        write_last(self._parts.session, outcomes, (), self._parts.clock, tries=1)
        self._heartbeat.stop()
        self._parts.session.close()
        self._close_up()

    def _supervisor_has_ended(self, stopped: "concurrent.futures.Future[None]", _task: "asyncio.Task[None]") -> None:
        """Stop in the place of a supervisor that was cancelled before it had its first turn."""
        if not stopped.done():
            self.abandon()

    def _close_up(self) -> None:
        """Leave nothing open, and tell those who wait for the stop, whatever fails on the way."""
        try:
            self._heartbeat.stop()
            if self._started is not None:
                _containment.stop_guarding(self._started.loop)
                if self._parts.settings.freeze_gc:
                    gc_control.unfreeze()
            self._parts.session.thread.close(wait=False)
        finally:
            self._started = None
            logbook.scheduler_stopped()
            self._lifecycle.finish()


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
