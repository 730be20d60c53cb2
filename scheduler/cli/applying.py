"""`serve --tasks`: applies a tasks file at the start, and again whenever it was edited, as main.py does."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from scheduler import SchedulerError, StoreError, TaskScheduler
from scheduler.cli.commands.files import applied, loaded, new_code
from scheduler.cli.errors import sentence
from scheduler.tasks_file import watch_tasks

_RETRY_SECONDS: Final = 5.0

log = logging.getLogger("scheduler.serve")


@asynccontextmanager
async def kept_applied(scheduler: TaskScheduler, file: Path | None, source: str | None) -> AsyncIterator[None]:
    """Apply a file, and its edits until the end. Raises `CommandError`, `StoreError` at first."""
    if file is None:
        yield
        return
    edits = watch_tasks(file)  # before the first look, so that no edit is missed
    await asyncio.to_thread(_apply, scheduler, file, source)
    watching = asyncio.create_task(_apply_edits(scheduler, file, source, edits))
    try:
        yield
    finally:
        watching.cancel()


async def _apply_edits(scheduler: TaskScheduler, file: Path, source: str | None, edits: AsyncIterator[None]) -> None:
    async for _ in edits:
        await _apply_edit(scheduler, file, source)


async def _apply_edit(scheduler: TaskScheduler, file: Path, source: str | None) -> None:
    """Apply a file, or log why not. While the store cannot be used it is tried again: no later edit may come."""
    is_logged = False
    while True:
        try:
            await asyncio.to_thread(_apply, scheduler, file, source)
        except StoreError as error:
            if not is_logged:
                log.error("The tasks stay as they were until the store can be used: %s", sentence(error))  # noqa: TRY400 (one line)
            is_logged = True
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        except (SchedulerError, ValueError) as error:
            log.error("The tasks stay as they were: %s", sentence(error))  # noqa: TRY400 (one line)
        except Exception:  # whatever is wrong with this edit, the next one is applied
            log.exception("The tasks stay as they were")
        return


def _apply(scheduler: TaskScheduler, file: Path, source: str | None) -> None:
    tasks = loaded(file)
    code = new_code(scheduler, tasks)
    done = applied(scheduler, tasks, file, source, prune=True)
    for each in code:
        log.info("New code will be called: %s=%r of task %s", each["field"], each["path"], each["task_id"])
    for task_id, reason in done.left_out:
        log.warning("Task %s is left out: %s", task_id, reason)
    numbers = len(done.added), len(done.changed), len(done.kept), len(done.removed)
    log.info("%s applied: %d added, %d changed, %d kept, %d removed", file, *numbers)
