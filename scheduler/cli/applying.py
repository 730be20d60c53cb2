"""`serve --tasks`: how it applies a tasks file."""

import logging
from pathlib import Path
from typing import Final

from scheduler import TaskScheduler
from scheduler.cli.commands.files import applied, loaded, new_code

log: Final = logging.getLogger("scheduler.serve")


def apply_file(scheduler: TaskScheduler, file: Path, source: str | None) -> None:
    """Make the store match a tasks file, and log what that changed. Raises `CommandError`, `StoreError`."""
    tasks = loaded(file)
    code = new_code(scheduler, tasks)
    done = applied(scheduler, tasks, file, source, prune=True)
    for each in code:
        log.info("New code will be called: %s=%r of task %s", each["field"], each["path"], each["task_id"])
    for task_id, reason in done.left_out:
        log.warning("Task %s is left out: %s", task_id, reason)
    numbers = len(done.added), len(done.changed), len(done.kept), len(done.removed)
    log.info("%s applied: %d added, %d changed, %d kept, %d removed", file, *numbers)
