"""For programs that run a scheduler from their start until a signal ends them."""

import asyncio
import contextlib
import functools
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from scheduler import logbook
from scheduler.errors import InvalidTaskError, SchedulerError, StoreError
from scheduler.task_scheduler import TaskScheduler
from scheduler.tasks_file import load_tasks, located, source_of, watch_tasks

BANNER: Final = "Scheduler running. Press Ctrl+C to stop."
STOPPED_AT_ONCE: Final = 130
"""The exit code after a second Ctrl+C, as in a shell."""
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
_ONE_SIGNAL_SECONDS: Final = 0.2
"""`timeout` and `uv run` send a signal twice within this time; it counts once."""
_LAST_RESORT_SECONDS: Final = 3
"""The thread of a synchronous node cannot be cancelled; the program exits without it after so long."""
_RETRY_SECONDS: Final = 5.0
"""How long an edit waits for a store that cannot be used before it is tried again."""


async def run_until_signal(
    scheduler: TaskScheduler,
    tasks_file: str | os.PathLike[str] | None = None,
    *,
    apply: Callable[[], object] | None = None,
    banner: str | None = BANNER,
) -> None:
    """Start a scheduler, let it run until SIGINT (Ctrl+C) or SIGTERM, and stop it.

    After the signal, running graphs have `shutdown_grace_seconds` to end. A further Ctrl+C does not wait for them: it
    raises `SystemExit(130)`. Meanwhile the event loop's handlers of both signals are this function's; afterwards they
    are Python's. Where loops take no signal handlers (Windows), Ctrl+C cancels the program, which stops it as well.

    Args:
        scheduler: is stopped in any case, whatever is raised.
        tasks_file: a tasks file. It is applied before the start, with `prune=True`, and again after each edit; an edit
            that is wrong is logged and changes nothing.
        apply: applies the file in place of that, in a thread of its own.
        banner: is printed when the scheduler runs; None: nothing is.

    Raises:
        TasksFileError, ValueError: the tasks file cannot be applied at the start.
        GraphError, StoreError: what `TaskScheduler.start` raises.
    """
    with _Signals() as stopping:
        try:
            async with kept_applied(tasks_file, apply or functools.partial(_apply_file, scheduler, tasks_file or "")):
                scheduler.start()
                await _ready_or_stopped(scheduler, stopping)
                if banner is not None and not stopping.is_set():
                    print(banner, flush=True)  # noqa: T201 (asked for)
                await stopping.wait()
        finally:
            await scheduler.stop()


async def _ready_or_stopped(scheduler: TaskScheduler, stopping: asyncio.Event) -> None:
    """Wait until the graph is made, or a signal ends the wait. Raises `GraphError`."""
    waits = [asyncio.ensure_future(scheduler.ready()), asyncio.ensure_future(stopping.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if waits[0].done() and not waits[0].cancelled():
        waits[0].result()


class _Signals:
    """What SIGINT and SIGTERM do while a program runs.

    The first signal sets `first`. After a moment, another Ctrl+C is listened for: it cancels the program, and the block
    raises `SystemExit`.
    """

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self._loop, self._program = asyncio.get_running_loop(), asyncio.current_task()
        self._soon: asyncio.TimerHandle | None = None
        self._is_at_once = False

    def __enter__(self) -> asyncio.Event:
        with contextlib.suppress(NotImplementedError):
            for number in _STOPPING:
                self._loop.add_signal_handler(number, self._stop)
        return self.first

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._soon is not None:
            self._soon.cancel()
        if self._is_at_once and isinstance(error, asyncio.CancelledError):
            raise SystemExit(STOPPED_AT_ONCE) from None
        with contextlib.suppress(NotImplementedError):
            for number in _STOPPING:
                self._loop.remove_signal_handler(number)

    def _stop(self) -> None:
        if not self.first.is_set():
            self.first.set()
            self._soon = self._loop.call_later(_ONE_SIGNAL_SECONDS, self._listen_for_a_second)

    def _listen_for_a_second(self) -> None:
        self._loop.add_signal_handler(signal.SIGINT, self._stop_at_once)
        logbook.waiting_for_runs()

    def _stop_at_once(self) -> None:
        self._is_at_once = True
        logbook.stopping_at_once()
        last_resort = threading.Timer(_LAST_RESORT_SECONDS, os._exit, [STOPPED_AT_ONCE])
        last_resort.daemon = True
        last_resort.start()
        if self._program is not None:
            self._program.cancel()


@asynccontextmanager
async def kept_applied(file: str | os.PathLike[str] | None, apply: Callable[[], object]) -> AsyncIterator[None]:
    """Call a function that applies a tasks file, now and after each edit. Raises what the first call raises."""
    if file is None:
        yield
        return
    edits = watch_tasks(file)  # before the first look, so that no edit is missed
    await asyncio.to_thread(apply)
    watching = asyncio.create_task(_apply_edits(edits, apply))
    try:
        yield
    finally:
        watching.cancel()


async def _apply_edits(edits: AsyncIterator[None], apply: Callable[[], object]) -> None:
    async for _ in edits:
        await _apply_edit(apply)


async def _apply_edit(apply: Callable[[], object]) -> None:
    """Apply a file, or log why not. While the store cannot be used it is tried again: no later edit may come."""
    is_logged = False
    while True:
        try:
            await asyncio.to_thread(apply)
        except StoreError as error:
            if not is_logged:
                logbook.edit_waits_for_store(error)
            is_logged = True
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        except (SchedulerError, ValueError) as error:
            logbook.edit_refused(error)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with this edit, the next one is applied)
            logbook.edit_failed(error)
        return


def _apply_file(scheduler: TaskScheduler, file: str | os.PathLike[str]) -> None:
    try:
        done = scheduler.apply_tasks(load_tasks(file), source=source_of(file), prune=True)
    except InvalidTaskError as error:
        raise located(file, error) from None
    for task_id, reason in done.left_out:
        logbook.task_left_out(task_id, reason)
    logbook.tasks_applied(
        Path(file).name,
        added=len(done.added),
        changed=len(done.changed),
        kept=len(done.kept),
        removed=len(done.removed),
    )
