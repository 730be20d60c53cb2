"""A restart with many tasks in the store: until the first pass is done, and a listing of all."""

import asyncio
import gc

import sqlalchemy

from benchmarks import graphs
from benchmarks.measure import stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.stores import fill, in_another_process
from scheduler import TaskScheduler

TASKS = 10_000


def ours(setting: Setting) -> Figures:
    """Construct, start, and wait for the first pass; then list."""
    number, path = setting.sized(TASKS), setting.fresh_store()
    in_another_process(fill, path, number)
    # Imports are measured apart; SQLAlchemy imports its SQLite part when the first engine is made.
    sqlalchemy.create_engine("sqlite://").dispose()
    return asyncio.run(_ours(path, number))


async def _ours(path: str, number: int) -> Figures:
    graph = await graphs.ready()
    gc.collect()
    with stopwatch() as started:
        scheduler = TaskScheduler(db_path=path, graph=graph)
        scheduler.start()
        await scheduler.scheduler.pass_done.wait()
    with stopwatch() as listed:
        tasks = scheduler.list_tasks()
    await scheduler.stop()
    assert len(tasks) == number
    return {
        "ready_ms": started.seconds * 1e3,
        "ready_cpu_ms": started.cpu * 1e3,
        "list_ms": listed.seconds * 1e3,
        "list_cpu_ms": listed.cpu * 1e3,
    }
