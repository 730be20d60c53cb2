"""The storm on APScheduler 3 as it comes, with its SQLAlchemy job store or its memory job store.

Its default grace period of one second would drop what starts later, so it has no grace period here.
"""

import asyncio
import uuid
from typing import Any

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from benchmarks import graphs
from benchmarks.cases.storm import TASKS
from benchmarks.measure import pulse, stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.peers import ended, invoke
from benchmarks.stores import in_seconds

graph: Any = None


async def fire(task_id: str) -> None:
    """Invoke the graph for one job."""
    await invoke(graph, task_id)


def run(setting: Setting, *, durable: bool) -> Figures:
    """Add all jobs, then let them go at once."""
    number = setting.sized(TASKS)
    store = SQLAlchemyJobStore(f"sqlite:///{setting.fresh_store()}") if durable else MemoryJobStore()
    figures = asyncio.run(_run(store, number))
    graphs.check_each_once(number)
    return figures


async def _run(store: Any, number: int) -> Figures:  # noqa: ANN401 (APScheduler has no types)
    global graph  # noqa: PLW0603 (a job that is stored can only name a function)
    graph = await graphs.ready()
    scheduler = AsyncIOScheduler(jobstores={"default": store}, job_defaults={"misfire_grace_time": None})
    scheduler.start(paused=True)
    run_at = in_seconds(0.1)
    with stopwatch() as adding:
        for _ in range(number):
            task_id = str(uuid.uuid4())
            scheduler.add_job(fire, "date", run_date=run_at, args=[task_id], id=task_id)
    await asyncio.sleep(0.2)
    async with pulse() as loop:
        with stopwatch() as span:
            scheduler.resume()
            while len(ended) < number:
                await asyncio.sleep(0.005)
    scheduler.shutdown(wait=False)
    return {
        "seconds": span.seconds,
        "cpu_seconds": span.cpu,
        "stall_ms": loop.longest * 1e3,
        "add_us_per_task": adding.seconds / number * 1e6,
    }
