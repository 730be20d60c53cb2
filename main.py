"""The example program: starts the scheduler, waits for a signal, drains, stops. Edit the tasks and run it."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime

from scheduler import SchedulerError, TaskDefinition, TaskNotFoundError, TaskScheduler, TaskType

log = logging.getLogger("main")

STOPPED_AT_ONCE = 130  # the exit code after a second Ctrl+C, as a shell counts it
ONE_SIGNAL_SECONDS = 0.2  # `timeout`, `uv run` and their like send a signal twice; that is one Ctrl+C
LAST_RESORT_SECONDS = 3  # the thread of a synchronous node cannot be cancelled; it is left behind after so long

HEARTBEAT = TaskDefinition(
    id="heartbeat",
    name="Heartbeat",
    task_type=TaskType.INTERVAL,
    interval_seconds=10,
    start_at=datetime(2025, 1, 1, tzinfo=UTC),  # a fixed anchor: due at :00, :10, :20 … after every restart
    prompt="Say that you are alive.",
)
DAILY_SUMMARY = TaskDefinition(
    id="daily-summary",
    name="Daily summary",
    task_type=TaskType.CRON,
    cron_expression="0 9 * * *",
    timezone="UTC",
    prompt="Summarise what happened since yesterday.",
)


def add_example_tasks(scheduler: TaskScheduler) -> None:
    """Store the tasks; done at every start, since a task that has not changed stays as it is."""
    if os.environ.get("SCHEDULER_MODEL"):
        log.info("SCHEDULER_MODEL is set: task %r is left out, a model called every 10 s costs money", HEARTBEAT.id)
        with contextlib.suppress(TaskNotFoundError):
            scheduler.remove_task(HEARTBEAT.id)  # stored by an earlier start without a model
        scheduler.add_task(DAILY_SUMMARY)
    else:
        scheduler.add_tasks([HEARTBEAT, DAILY_SUMMARY])


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Let SIGINT or SIGTERM set the event; a second Ctrl+C, if the program has not ended by then, ends it at once."""
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
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl+C cancels main() instead, which stops as well
            loop.add_signal_handler(number, stop)


async def main() -> None:
    """Run the scheduler until a signal comes."""
    stopping = asyncio.Event()
    stop_on_signals(stopping)
    scheduler = TaskScheduler(db_path=os.environ.get("SCHEDULER_DB", "scheduler.db"))
    try:
        add_example_tasks(scheduler)
        scheduler.start()
        print("Scheduler running. Press Ctrl+C to stop.", flush=True)
        await stopping.wait()
    finally:
        await scheduler.stop()


def run() -> int:
    """Configure the log, run the program, and return its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    logging.getLogger("apscheduler").setLevel(logging.WARNING)  # the scheduler's own lines say the same
    try:
        asyncio.run(main())
    except SchedulerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # only where there are no signal handlers; main() has stopped the scheduler
        return 0
    except asyncio.CancelledError:
        return STOPPED_AT_ONCE
    return 0


if __name__ == "__main__":
    sys.exit(run())
