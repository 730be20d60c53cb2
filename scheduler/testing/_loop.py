"""An event loop in virtual time: where it would wait, time moves instead."""

import asyncio
import contextlib
import selectors
import threading
from asyncio.events import _get_running_loop  # as asyncio's own loops use it: it does not raise
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

from scheduler.errors import SchedulerError
from scheduler.testing._time import VirtualTime

T = TypeVar("T")
_OWN_FILES: Final = 1
"""How many files each loop has registered for itself: the end of a pipe by which threads wake it."""
_OWN_THREADS: Final = ("MainThread", "asyncio_", "sync node", "scheduler")
"""How the names of threads begin for which the loop knows whether they have something to do."""
_SUPERVISOR: Final = "task scheduler"
"""The name of the task in which the engine writes the last outcomes when it is cancelled."""
_RUN: Final = "run "
"""How the names of the tasks begin in which the engine makes runs."""
_LAST_SECONDS: Final = 60.0
"""How much virtual time graphs have to end when the simulation is over."""
_MOMENT: Final = 0.02
"""Real seconds that threads have which may bring something, and of which the loop knows nothing."""


class RealWaitError(SchedulerError):
    """A graph, or another function of a task, waits for something real, for which no virtual time can pass."""

    def __init__(self, what: str, hint: str) -> None:
        """Take what it waits for, and how to avoid that."""
        super().__init__(f"the simulation has to end: {what}; {hint}")
        self.hint: str = hint


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual. It runs in any thread, but not while another loop runs there."""

    def __init__(self, time: VirtualTime, patience: float) -> None:
        """Take the time, and how many real seconds it waits for calls in threads."""
        self._virtual = time
        self._waits = _Waits(time, patience, self.stop)
        self._is_ending = False
        super().__init__(self._waits)
        self._clock_resolution = 1e-6  # floats need not be exact for a timer to be due

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual.seconds

    def run_until(self, micros: int) -> None:
        """Let happen what happens until an instant of virtual time, and what is ready then."""
        self._waits.until = micros
        try:
            self.run_forever()
        finally:
            self._waits.until = None

    def end(self) -> None:
        """Clear up after a process that was killed: its runs are cancelled, and nothing else of it runs; then close.

        To let go of what is left would do, but code that is closed in the middle of an `await` complains.
        """
        self.set_exception_handler(lambda _loop, _context: None)
        self._waits.patience = 0.0
        self._is_ending = True
        for task in asyncio.all_tasks(self):
            if task.get_name() == _SUPERVISOR:
                _close(task)
            else:
                task.cancel()
        with contextlib.suppress(Exception):
            self.run_until(self._virtual.after(_LAST_SECONDS))
        for task in asyncio.all_tasks(self):
            _close(task)
        self.close()

    def create_task(self, coro: Any, **options: Any) -> Any:  # noqa: ANN401
        """Create a task; at the end no run of the dead process begins that waited for a slot."""
        task = super().create_task(coro, **options)
        if self._is_ending and task.get_name().startswith(_RUN):
            task.cancel()
        return task

    @property
    def next_wake(self) -> int | None:
        """When `run_until` has found that something is to happen next, in virtual time; None: nothing is known."""
        return self._waits.wake

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]  # noqa: ANN401
        """Call a function in an executor; time does not pass meanwhile, unless the executor is virtual itself."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        if not isinstance(executor, VirtualExecutor):
            self._waits.calls += 1
            future.add_done_callback(self._call_has_ended)
        return future

    def _call_has_ended(self, _future: "asyncio.Future[Any]") -> None:
        self._waits.calls -= 1

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]  # noqa: ANN401
        """Call a function soon; in the loop's own thread that needs no wake-up, which is a system call."""
        if _get_running_loop() is self:
            return self.call_soon(callback, *args, context=context)
        return super().call_soon_threadsafe(callback, *args, context=context)


def _close(task: "asyncio.Task[Any]") -> None:
    with contextlib.suppress(BaseException):
        task.get_coro().close()


class VirtualExecutor(Executor):
    """An executor whose calls are made in the loop's own thread, in virtual time."""


class _Waits(selectors.DefaultSelector):
    """Moves time in place of waiting, and refuses to wait for what is real."""

    def __init__(self, time: VirtualTime, patience: float, stop: Callable[[], None]) -> None:
        super().__init__()
        self._time = time
        self.patience = patience
        self._stop = stop
        self._threads = {thread.ident for thread in threading.enumerate()}
        self.until: int | None = None
        self.wake: int | None = None
        self.calls = 0
        """How many calls are in progress in real threads."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if self.calls:
            return self._wait_for_thread()
        if len(self.get_map()) > _OWN_FILES:
            raise RealWaitError(
                "a graph waits for the network, or for another process",
                "give it a stand-in, such as FakeGraph or a fake model",
            )
        if self._has_other_threads() and (found := super().select(_MOMENT)):
            return found
        self._move(timeout)
        return []

    def _wait_for_thread(self) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(self.patience)
        if not found:
            raise RealWaitError(
                f"a function has not returned after {self.patience:g} s of real time in its thread",
                "give it a stand-in that returns at once, or a larger real_wait_seconds",
            )
        return found

    def _has_other_threads(self) -> bool:
        """Tell whether threads were started that may wake the loop, as those of database drivers do."""
        new = (thread for thread in threading.enumerate() if thread.ident not in self._threads)
        return any(not thread.name.startswith(_OWN_THREADS) for thread in new)

    def _move(self, timeout: float | None) -> None:
        self.wake = wake = None if timeout is None else max(self._time.after(timeout), self._time.micros + 1)
        if self.until is not None and (wake is None or wake > self.until):
            self._time.move_to(self.until)
            self._stop()
        elif wake is None:
            self._stop()  # nothing is to come
        else:
            self._time.move_to(wake)
