"""The example program: it runs the tasks of tasks.toml until a signal arrives. You can edit that file while it runs."""

import asyncio
import logging
import os
import sqlite3
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")  # read at the import: checkpoints bring back known types only

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from scheduler import SchedulerError, TaskScheduler, load_tasks, run_until_signal
from scheduler.tasks_file import source_of

log = logging.getLogger("main")

BANNER = "Scheduler running. Press Ctrl+C to stop."
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


def create_checkpoints(file: Path) -> None:
    """Create the file of the conversations for this user alone; a link that leads to no file is not followed."""
    try:
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not file.exists():
            raise sqlite3.OperationalError("it is a link that leads to no file; remove the link") from None


async def main() -> None:
    """Run the scheduler until a signal arrives."""
    create_checkpoints(CHECKPOINTS)
    async with AsyncSqliteSaver.from_conn_string(str(CHECKPOINTS)) as saver:
        scheduler = TaskScheduler(db_path=STORE, checkpointer=saver, freeze_gc=True)
        # async with web.served(scheduler) as view: …  # the web view, around the next line: see docs/web.md
        # Start, print the banner, wait for Ctrl+C or SIGTERM while edits are applied, and stop whatever happens.
        await run_until_signal(scheduler, TASKS, apply=partial(apply_tasks, scheduler), banner=BANNER)


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
    return 0


if __name__ == "__main__":
    sys.exit(run())
