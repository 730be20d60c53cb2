"""SimulatedScheduler: a real TaskScheduler whose time only its test moves."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from scheduler._arguments import check_seconds, check_zone
from scheduler.models import OPEN_STATUSES, Run, RunStatus
from scheduler.task_scheduler import Stopping, TaskScheduler
from scheduler.testing._fake_graph import graph_for
from scheduler.testing._loop import VirtualLoop
from scheduler.testing._machine import VirtualMachine
from scheduler.testing._moments import Moment, micros_at, micros_in
from scheduler.timing.clock import SECOND

T = TypeVar("T")
_DAY: Final = 86_400
_ALL: Final = 10_000_000
"""More runs than a test makes."""
_LONGEST: Final = 366 * _DAY * SECOND
"""How long `run_due` lets runs run."""
_MOST_AT_ONCE: Final = 10_000
"""After so many passes at one instant something goes in circles."""


class SimulatedScheduler(TaskScheduler):
    """A `TaskScheduler` in virtual time, on a store in memory.

    All methods of `TaskScheduler` are there, and do what they do. Time stands still between the calls of the test:
    `advance`, `advance_to` and `run_due` move it, as fast as the passes and the runs can be made. A graph takes no time
    unless it sleeps (`asyncio.sleep`, a time-out), and what works in a thread, such as a synchronous node, is waited
    for while virtual time stands still.

    Use it as a context manager, or call `start()` and `close()`. It works where no event loop runs, and inside an async
    test, which it blocks meanwhile.
    """

    def __init__(  # noqa: PLR0913 (keywords, each with a default)
        self,
        *,
        start: Moment,
        graph: object = "graph:graph",
        timezone: str = "UTC",
        seed: int = 0,
        poll_interval: float = _DAY,
        lease_seconds: float = 4 * _DAY,
        history_limit: int = 100_000,
        real_wait_seconds: float = 10.0,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Make a scheduler that is not started.

        Args:
            start: the first instant, such as `"2026-03-27"` or `"2026-03-27 08:00 Europe/Berlin"`, or a datetime.
                Without a zone it is in `timezone`.
            graph: as for `TaskScheduler`, or a `FakeGraph`.
            timezone: the IANA zone of cron tasks that name none, and of instants without a zone.
            seed: of the randomness by which the waits between attempts vary.
            poll_interval: the longest wait between two passes, in virtual seconds.
            lease_seconds: as for `TaskScheduler`, in virtual seconds.
            history_limit: how many runs are kept for each task.
            real_wait_seconds: how many real seconds a call in a thread may take.
            options: what else `TaskScheduler` takes, except `persistent`, `db_path`, `db_url`, `create` and `machine`.

        Raises:
            ValueError: an argument is out of its range.
        """
        check_zone(timezone)
        check_seconds(real_wait_seconds=real_wait_seconds)
        self._zone = timezone
        self._patience = real_wait_seconds
        self._machine = VirtualMachine(
            micros_at(start, timezone, "start"), seed, lambda: self._loop, self._wait_for_lock
        )
        self._options = {
            "graph": graph_for(graph),
            "timezone": timezone,
            "poll_interval": poll_interval,
            "lease_seconds": lease_seconds,
            "history_limit": history_limit,
            **options,
        }
        self._loop: VirtualLoop | None = None
        self._dead: list[VirtualLoop] = []
        """The loops of processes that were killed: of what is dead not even a `finally` may run, before `close`."""
        self._reported: set[str] = set()
        self._new_process()

    def _new_process(self) -> None:
        """Build the scheduler again, as a new process does; what the store has stays."""
        TaskScheduler.__init__(self, persistent=False, machine=self._machine, **self._options)

    # --- Lifecycle ---

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def start(self) -> None:
        """Start, as `TaskScheduler.start` does, on an event loop in virtual time; it needs no other one."""
        if self._loop is None:
            self._outside(self._start)

    def _start(self) -> None:
        self._loop = loop = VirtualLoop(self._machine.time, self._patience)

        async def start() -> None:
            TaskScheduler.start(self)

        try:
            loop.run_until_complete(start())
        except BaseException:
            self._close_loop()
            raise
        self._settle()

    def stop(self) -> Stopping:
        """Stop, as `TaskScheduler.stop` does; running runs get their grace, and time passes meanwhile."""
        if self._loop is not None and not self._is_inside():
            self._outside(self._stop)
        return super().stop()

    def _stop(self) -> None:
        async def stop() -> None:
            await TaskScheduler.stop(self)

        if self._loop is not None:
            self._loop.run_until_complete(stop())
            self._close_loop()

    def close(self) -> None:
        """Stop without a grace, and delete the store. The simulation is over then."""
        self._options["shutdown_grace_seconds"] = 0
        if self._loop is not None:
            self.crash()
        for loop in self._dead:
            self._outside(loop.end)
        self._dead = []
        self._machine.database.delete()

    def _close_loop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    # --- Time ---

    def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> list[Run]:
        """Let time pass; return the runs that have ended since the last call, the first one first.

        That includes what was skipped and missed, and what ends at the very last instant.

        Raises:
            ValueError: the span is negative.
            RealWaitError: a graph waits for the network, or for a thread that does not return.
        """
        self._outside(partial(self._run_until, self._machine.time.micros + micros_in(days, hours, minutes, seconds)))
        return self._ended()

    def advance_to(self, moment: Moment) -> list[Run]:
        """Let time pass until an instant, such as `"2026-03-30 08:59 Europe/Berlin"`; return what `advance` returns.

        Raises what `advance` raises, and `ValueError` if the instant has passed.
        """
        instant = micros_at(moment, self._zone, "moment")
        if instant < self._machine.clock.now():
            raise ValueError(f"moment={moment!s} has passed: it is {self.now()}; set_clock sets the clock back")
        self._outside(partial(self._run_until, self._machine.clock.moment_of(instant)))
        return self._ended()

    def run_due(self) -> list[Run]:
        """Run what is due now to its end, further attempts too; return what `advance` returns.

        Time moves by as much as that takes. Raises what `advance` raises, and `TimeoutError` if a run takes more than a
        year.
        """
        self._outside(self._run_due)
        return self._ended()

    def suspend(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> list[Run]:
        """Let time pass while the process stands still, as a laptop that sleeps; return what `advance` returns."""
        self._machine.time.move_to(self._machine.time.micros + micros_in(days, hours, minutes, seconds))
        self._outside(self._settle)
        return self._ended()

    def set_clock(self, moment: Moment) -> None:
        """Set the machine's clock, forward or back; no time passes."""
        self._machine.clock.set(micros_at(moment, self._zone, "moment"))
        self._outside(self._settle)

    def _run_until(self, micros: int) -> None:
        if self._loop is None:
            self._machine.time.move_to(micros)
            return
        self._loop.run_until(micros)
        self._settle()

    def _settle(self) -> None:
        """Let happen what takes no time: passes, and the runs that they start, until nothing changes any more."""
        for _ in range(_MOST_AT_ONCE):
            changes = self._machine.database.changes
            if self._loop is None:
                return
            self.scheduler.wakeup()
            self._loop.run_until(self._machine.time.micros)
            if self._machine.database.changes == changes:
                return
        raise RuntimeError(f"more than {_MOST_AT_ONCE} passes at one instant: does a run trigger itself?")

    def _run_due(self) -> None:
        self._settle()
        now = self.now()
        due = {run.id for run in self._open() if run.status is not RunStatus.WAITING and run.scheduled_at <= now}
        if self._loop is not None and due:
            self._loop.run_until_complete(self._have_ended(due))
            self._settle()

    async def _have_ended(self, run_ids: set[str]) -> None:
        end = self._machine.time.micros + _LONGEST
        writing = asyncio.create_task(self._write_outcomes_at_once())
        while run_ids.intersection(run.id for run in self._open() if run.status is not RunStatus.WAITING):
            if self._machine.time.micros > end:
                raise TimeoutError("a run has not ended after a year; give its task timeout_seconds")
            await self.scheduler.pass_done.wait()
        writing.cancel()

    async def _write_outcomes_at_once(self) -> None:
        """Ask for a pass when a run has ended: otherwise its outcome would wait a moment for others."""
        while True:
            await self.scheduler.run_ended.wait()
            self.scheduler.wakeup()

    def _wait_for_lock(self, seconds: float) -> None:
        """Let a call wait for the store, unless it is made on the loop, which cannot run meanwhile."""
        if not self._is_inside():
            until = self._machine.time.after(seconds)
            self._outside(partial(self._loop.run_until, until) if self._loop else partial(self._run_until, until))

    # --- Faults ---

    def crash(self) -> None:
        """Kill the process: nothing of it runs any more, and nothing that is not stored will be.

        Until `restart()` the store can be used and time passes, but nothing fires. The memory of the process is lost,
        such as listeners that were added with `add_listener`.
        """
        if self._loop is None:
            raise RuntimeError("the scheduler does not run: there is nothing to kill")
        if self._is_inside():
            raise RuntimeError("crash() was called inside a run, on the loop of the scheduler; call it in the test")
        self._dead.append(self._loop)
        self._loop = None
        self._machine.processes.kill()
        self._new_process()

    def restart(self) -> None:
        """Start again: after `crash()` as a new process, otherwise after a stop with its grace."""
        if self._loop is not None:
            self.stop()
        self.start()

    def lock_store(self, *, seconds: float) -> None:
        """Let another process lock the store for so long, from now on.

        Passes fail meanwhile and are tried again. A call such as `add_task` waits up to 5 s, in virtual time, and then
        raises `StoreError`.
        """
        check_seconds(seconds=seconds)
        self._machine.database.lock(seconds)

    # --- Looking ---

    def runs(self, task_id: str | None = None) -> list[Run]:
        """Return the history of one task, or of all, the oldest run first."""
        return self.list_runs(task_id, limit=_ALL)[::-1]

    def _open(self) -> list[Run]:
        return [run for status in OPEN_STATUSES for run in self.list_runs(status=status, limit=_ALL)]

    def _ended(self) -> list[Run]:
        """Return the runs that are over and were not returned before."""
        new = [run_id for run_id in self._store.ended_runs() if run_id not in self._reported]
        self._reported.update(new)
        return [self.get_run(run_id) for run_id in new]

    # --- Threads ---

    def _is_inside(self) -> bool:
        """Tell whether this code runs on the loop of the scheduler: in a graph, a callback or a listener."""
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def _outside(self, function: Callable[[], T]) -> T:
        """Call what runs the loop: in a thread of its own where another loop runs."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return function()
        if running is self._loop:
            raise RuntimeError("a run cannot move the time of its own scheduler; do it in the test")
        with ThreadPoolExecutor(1, "scheduler simulation") as thread:
            return thread.submit(function).result()
