"""A storm: many one-time tasks are due at one instant, and run by one process on one SQLite file."""

import asyncio
import time
from collections.abc import Iterator

from benchmarks import graphs
from benchmarks.measure import pulse, stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.stores import check_history, check_listed, in_seconds, once, rows
from scheduler import TaskScheduler
from scheduler.graphs import graph_config, graph_input
from scheduler.models import RunTrigger
from scheduler.store import Claim
from scheduler.timing.clock import to_micros

TASKS = 5_000
LEAD = 1.0
"""The instant lies so many seconds ahead when all tasks are added and the scheduler has started."""
LOOK = 0.005
"""How often it is looked at whether all is done, in seconds."""
RUNNING = "SELECT 1 FROM scheduler_runs WHERE status = 'running' LIMIT 1"


def ours(setting: Setting) -> Figures:
    """Run the storm with the scheduler's defaults; the time ends when the last outcome is stored."""
    number, path = setting.sized(TASKS), setting.fresh_store()
    figures = asyncio.run(storm_in(path, number))
    graphs.check_each_once(number)
    check_history(path, succeeded=number)
    check_listed(path, 0)
    return figures


async def storm_in(path: str, number: int, prefix: str = "once") -> dict[str, float]:
    """Run a storm on a store, which may hold other tasks; ids begin with `prefix`."""
    async with TaskScheduler(db_path=path, graph=await graphs.ready(), freeze_gc=True) as scheduler:
        run_at = in_seconds(LEAD + number / 5_000)
        scheduler.add_tasks(once(each, run_at, prefix) for each in range(number))
        await asyncio.sleep(run_at.timestamp() - time.time())
        with rows(path) as ask:
            async with pulse() as loop:
                with stopwatch() as span:
                    while len(graphs.calls) < number or ask(RUNNING):
                        await asyncio.sleep(LOOK)
    return {"seconds": span.seconds, "cpu_seconds": span.cpu, "stall_ms": loop.longest * 1e3}


def plain(setting: Setting, *, at_once: int) -> Figures:
    """Invoke the graph as often, with the same inputs and configs, so many at a time, and nothing else."""
    number = setting.sized(TASKS)
    figures = asyncio.run(_plain(number, at_once))
    graphs.check_each_once(number)
    return figures


async def _plain(number: int, at_once: int) -> Figures:
    graph, claims = await graphs.ready(), iter(list(_claims(number)))

    async def work() -> None:
        for claim in claims:
            await graph.ainvoke(graph_input(claim.task), graph_config(claim))

    async with pulse() as loop:
        with stopwatch() as span:
            await asyncio.gather(*(work() for _ in range(at_once)))
    return {"seconds": span.seconds, "cpu_seconds": span.cpu, "stall_ms": loop.longest * 1e3}


def _claims(number: int) -> Iterator[Claim]:
    run_at = in_seconds(LEAD)
    for each in range(number):
        task, run_id = once(each, run_at), f"019a0000-0000-7000-8000-{each:012x}"
        thread_id = f"scheduler:{task.session_id}"
        yield Claim(run_id, task, to_micros(run_at), 1, 0, RunTrigger.SCHEDULE, thread_id, None)
