"""Doing nothing: what a started scheduler costs while no task is due, beside the bare look once a second."""

import asyncio
import contextlib
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks import graphs
from benchmarks.measure import resident_megabytes, stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.stores import fill, in_another_process
from scheduler import TaskScheduler

TASKS = 10_000
SECONDS = 12
SETTLE = 2.0
"""The first passes, which read what later ones know, are not counted."""
LOOK = (
    "SELECT next_due FROM scheduler_tasks"
    " WHERE next_due IS NOT NULL AND paused = 0 AND finished_at IS NULL AND problem IS NULL"
    " ORDER BY next_due LIMIT 1"
)


def ours(setting: Setting, *, tasks: int = TASKS) -> Figures:
    """Start on a store with so many tasks, and wait."""
    number, path = setting.sized(tasks, least=0), setting.fresh_store()
    in_another_process(fill, path, number)
    return asyncio.run(_ours(path, number, setting.sized(SECONDS, least=3)))


async def _ours(path: str, number: int, seconds: int) -> Figures:
    async with TaskScheduler(db_path=path, graph=await graphs.ready(), freeze_gc=True) as scheduler:
        await asyncio.sleep(SETTLE)
        figures = await _while_waiting(seconds)
        assert not graphs.calls
        assert len(scheduler.list_tasks()) == number
    return figures


async def _while_waiting(seconds: int) -> Figures:
    with stopwatch() as span:
        await asyncio.sleep(seconds)
    return {
        "cpu_ms_per_second": span.cpu / seconds * 1e3,
        "cpu_s_per_minute": span.cpu / seconds * 60,
        "resident_mb": resident_megabytes(),
    }


def look(setting: Setting) -> Figures:
    """Look at the same store once a second: a hop to a thread, and one indexed read by sqlite3."""
    path = setting.fresh_store()
    in_another_process(fill, path, setting.sized(TASKS, least=0))
    return asyncio.run(_look(path, setting.sized(SECONDS, least=3)))


async def _look(path: str, seconds: int) -> Figures:
    await graphs.ready()
    with ThreadPoolExecutor(1) as thread, contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as file:
        looking = asyncio.create_task(_keep_looking(thread, file))
        await asyncio.sleep(SETTLE)
        figures = await _while_waiting(seconds)
        looking.cancel()
    return figures


async def _keep_looking(thread: ThreadPoolExecutor, file: sqlite3.Connection) -> None:
    loop = asyncio.get_running_loop()
    while True:
        [(due,)] = await loop.run_in_executor(thread, lambda: file.execute(LOOK).fetchall()) or [(0,)]
        assert due < (time.time() - 1) * 1e6 or due > time.time() * 1e6
        await asyncio.sleep(1)
