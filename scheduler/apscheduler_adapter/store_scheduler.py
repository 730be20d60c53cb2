"""Our AsyncIOScheduler: the host of an engine, with APScheduler's timer, lifecycle and events around it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from apscheduler.schedulers import SchedulerAlreadyRunningError, SchedulerNotRunningError
from apscheduler.schedulers.base import STATE_PAUSED, BaseScheduler

from scheduler import _containment, logbook
from scheduler.apscheduler_adapter.events import not_started_event
from scheduler.apscheduler_adapter.executor import RunExecutor
from scheduler.apscheduler_adapter.guarded import GuardedScheduler
from scheduler.apscheduler_adapter.jobstore import TaskJobStore
from scheduler.engine import Engine, Host, Submit
from scheduler.errors import NoEventLoopError
from scheduler.store import Claim, NotStarted, Store
from scheduler.timing.clock import SECOND, Clock

if TYPE_CHECKING:
    from scheduler.engine.signals import Signal


class StoreScheduler(GuardedScheduler):
    """APScheduler's `AsyncIOScheduler`, whose due times come from the engine.

    `start`, `shutdown` and `wakeup` are overridden, as its documentation provides for; `_process_jobs` is the stock
    one. To the engine, it is a `Host`.
    """

    _eventloop: asyncio.AbstractEventLoop | None

    def __init__(self, store: Store, zone: str, make_engine: Callable[[Host], Engine], clock: Clock) -> None:
        """Take the store that shows our tasks as jobs, APScheduler's zone, what makes the engine, and the clock."""
        self._clock = clock
        self.engine: Engine = make_engine(self)
        self.pass_done: Signal = self.engine.pass_done
        self.run_ended: Signal = self.engine.run_ended
        self._tasks = TaskJobStore(store)
        super().__init__(self._tasks, RunExecutor(self.engine.submit), zone)

    # --- APScheduler's side ---

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

        def start_apscheduler() -> None:
            self._eventloop = loop
            super(StoreScheduler, self).start(paused)  # may raise: two jobs of the user's own with the same id

        self.engine.start(start_apscheduler)

    def wakeup(self) -> None:
        """Ask for a pass, from any thread; many requests before it begins become one."""
        self.engine.wakeup()

    def shutdown(self, wait: bool = True) -> None:  # noqa: FBT001, FBT002 (APScheduler's own signature)
        """End firing at once, from any thread, and drain in the background; `wait=False` gives runs no grace.

        `engine.stopped()` is done when the drain is. Raises APScheduler's `SchedulerNotRunningError`.
        """
        if not self.running:
            raise SchedulerNotRunningError
        self.engine.stop(wait=wait)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody listens to APScheduler's own events."""
        return bool(self._listeners)

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

    # --- The engine's side: see `Host` ---

    def is_paused(self) -> bool:
        """Return whether the user has paused APScheduler."""
        return bool(self.state == STATE_PAUSED)

    def launch(self, claims: Sequence[Claim], wake_at: int | None, _submit: Submit, /) -> float | None:
        """Let the stock `_process_jobs` submit the claims, through the executor, along with what other stores have."""
        self._tasks.offer(claims)
        try:
            delay = self._process_jobs()
        finally:
            self._tasks.take_back()
        if wake_at is None or self.is_paused():
            return delay
        # Here, by our own clock: APScheduler reads that of the machine.
        own = max(0.0, (wake_at - self._clock.now()) / SECOND)
        return own if delay is None else min(own, delay)

    def serve_others(self) -> None:
        """Fire what other job stores have due."""
        self._tasks.offer([])
        if any(store.get_next_run_time() for store in self._jobstores.values() if store is not self._tasks):
            self._start_timer(self._process_jobs())

    def wake_after(self, seconds: float, _wake: Callable[[], None], /) -> None:
        """Set APScheduler's timer, which calls `wakeup`."""
        self._start_timer(seconds)

    def not_started(self, each: NotStarted, /) -> None:
        """Send APScheduler's event for due times that were skipped or missed."""
        self._dispatch_event(not_started_event(each))

    def stop_firing(self, *, wait: bool) -> None:
        """Shut APScheduler down, unless it is."""
        if self.running:
            BaseScheduler.shutdown(self, wait)
            self._stop_timer()
