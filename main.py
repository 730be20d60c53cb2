"""The example program: it runs the tasks of tasks.toml until a signal arrives. You can edit that file while it runs."""

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")  # read at the import: checkpoints bring back known types only

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from scheduler import SchedulerError, TaskScheduler, load_tasks
from scheduler.tasks_file import source_of, watch_tasks

log = logging.getLogger("main")

STOPPED_AT_ONCE = 130  # the exit code after a second Ctrl+C, as in a shell
ONE_SIGNAL_SECONDS = 0.2  # `timeout` and `uv run` send a signal twice within this time; it counts once
LAST_RESORT_SECONDS = 3  # the thread of a synchronous node cannot be cancelled; the program exits without it

STORE = Path(os.environ.get("SCHEDULER_DB", "scheduler.db"))
CHECKPOINTS = STORE.with_suffix(".checkpoints.db")  # the conversations, kept by LangGraph
TASKS = Path(__file__).with_name("tasks.toml")
HEARTBEAT = "heartbeat"  # every 10 s: fine for an answer that costs nothing


def apply_tasks(scheduler: TaskScheduler) -> None:
    """Make the store match the tasks in the file; unchanged tasks keep their due times."""
    tasks = load_tasks(TASKS)
    if os.environ.get("SCHEDULER_MODEL"):
        log.info("SCHEDULER_MODEL is set: task %r is left out, a model called every 10 s costs money", HEARTBEAT)
        tasks = [task for task in tasks if task.id != HEARTBEAT]
    done = scheduler.apply_tasks(tasks, source=source_of(TASKS), prune=True)
    for task_id, reason in done.left_out:
        log.warning("Task %s is left out: %s", task_id, reason)
    numbers = len(done.added), len(done.changed), len(done.kept), len(done.removed)
    log.info("tasks.toml applied: %d added, %d changed, %d kept, %d removed", *numbers)


async def apply_edits(scheduler: TaskScheduler, edits: AsyncIterator[None]) -> None:
    """Apply the file again after each edit; an edit with an error changes nothing."""
    async for _ in edits:
        try:
            await asyncio.to_thread(apply_tasks, scheduler)
        except (SchedulerError, ValueError) as error:
            log.error("tasks.toml not applied, the tasks stay as they were: %s", error)  # noqa: TRY400 (one line)


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Set the event on SIGINT or SIGTERM; a second Ctrl+C ends the program at once, if it still runs."""
    loop, program = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if not stopping.is_set():
            stopping.set()
            loop.call_later(ONE_SIGNAL_SECONDS, listen_for_a_second)

    def listen_for_a_second() -> None:
        loop.add_signal_handler(signal.SIGINT, stop_at_once)
        log.info("Waiting for running tasks to end; press Ctrl+C again to stop at once")

    def stop_at_once() -> None:
        log.warning("Stopping at once")
        last_resort = threading.Timer(LAST_RESORT_SECONDS, os._exit, [STOPPED_AT_ONCE])
        last_resort.daemon = True
        last_resort.start()
        if program:
            program.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl+C cancels main(), which also stops the scheduler
            loop.add_signal_handler(number, stop)


def create_checkpoints(file: Path) -> None:
    """Create the file of the conversations for this user alone; a link that leads to no file is not followed."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not file.exists():
            raise sqlite3.OperationalError("it is a link that leads to no file; remove the link") from None


async def main() -> None:
    """Run the scheduler until a signal arrives."""
    stopping = asyncio.Event()
    stop_on_signals(stopping)
    create_checkpoints(CHECKPOINTS)
    async with AsyncSqliteSaver.from_conn_string(str(CHECKPOINTS)) as saver:
        scheduler = TaskScheduler(db_path=STORE, checkpointer=saver, freeze_gc=True)
        watching = asyncio.create_task(apply_edits(scheduler, watch_tasks(TASKS)))
        try:
            apply_tasks(scheduler)
            scheduler.start()
            print("Scheduler running. Press Ctrl+C to stop.", flush=True)
            await stopping.wait()
        finally:
            watching.cancel()
            await scheduler.stop()


def run() -> int:
    """Configure the log, run the program, and return its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    for name in ("apscheduler", "watchfiles"):
        logging.getLogger(name).setLevel(logging.WARNING)  # the scheduler's own lines say the same
    try:
        asyncio.run(main())
    except SchedulerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except sqlite3.Error as error:
        print(f"error: {CHECKPOINTS}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # only without signal handlers; main() has stopped the scheduler
        return 0
    except asyncio.CancelledError:
        return STOPPED_AT_ONCE
    return 0


if __name__ == "__main__":
    sys.exit(run())
