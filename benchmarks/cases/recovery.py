"""After a crash, and after a long absence: ten thousand interrupted runs, and thirty days of missed seconds."""

import asyncio
import os

from benchmarks import graphs
from benchmarks.measure import pulse, stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.stores import PROMPT, check_history, in_another_process, in_seconds, once, rows
from scheduler import TaskDefinition, TaskScheduler, TaskType

RUNS = 10_000
DAYS = 30
DAY = 86_400
LEAD = 1.0
LOOK = 0.005


class Endless:
    """A graph that never answers."""

    async def ainvoke(self, input: object, config: object = None) -> None:  # noqa: A002, ARG002
        """Wait without end."""
        await asyncio.Event().wait()


def interrupted(setting: Setting) -> Figures:
    """Start on a store whose process died while all these runs were running."""
    number, path = setting.sized(RUNS), setting.fresh_store()
    in_another_process(_die, path, number)
    check_history(path, running=number)
    figures = asyncio.run(_recover(path, number))
    check_history(path, interrupted=number)
    return figures


def _die(path: str, number: int) -> None:
    """Begin all runs, and end this process without a word."""
    asyncio.run(_begin_and_die(path, number))


async def _begin_and_die(path: str, number: int) -> None:
    async with TaskScheduler(db_path=path, graph=Endless(), max_concurrent_runs=number) as scheduler:
        run_at = in_seconds(LEAD + number / 5_000)
        scheduler.add_tasks(once(each, run_at) for each in range(number))
        while _count(path, "running") < number:
            await asyncio.sleep(LOOK * 10)
        os._exit(0)


def _count(path: str, status: str) -> int:
    with rows(path) as ask:
        [(count,)] = ask(f"SELECT count(*) FROM scheduler_runs WHERE status = '{status}'")
    return int(str(count))


async def _recover(path: str, number: int) -> Figures:
    graph = await graphs.ready()
    async with pulse() as loop:
        with stopwatch() as span:
            scheduler = TaskScheduler(db_path=path, graph=graph)
            scheduler.start()
            while _count(path, "running"):
                await asyncio.sleep(LOOK)
    await scheduler.stop()
    return {
        "seconds": span.seconds,
        "cpu_us_per_run": span.cpu / number * 1e6,
        "stall_ms": loop.longest * 1e3,
    }


def backlog(setting: Setting) -> Figures:
    """Start on a store whose task has been due each second for thirty days."""
    path = setting.fresh_store()
    task = TaskDefinition(
        id="each-second", name="Each second", task_type=TaskType.INTERVAL, interval_seconds=1, prompt=PROMPT
    )
    TaskScheduler(db_path=path).add_task(task)
    late = DAYS * DAY * 1_000_000
    with rows(path) as ask:
        ask(f"UPDATE scheduler_tasks SET anchor = anchor - {late:d}, next_due = next_due - {late:d}")
    figures = asyncio.run(_first_call(path))
    with rows(path) as ask:
        [(coalesced,)] = ask("SELECT max(coalesced) FROM scheduler_runs")
    assert int(str(coalesced)) >= DAYS * DAY - 1, f"{coalesced} due times were counted"
    return figures


async def _first_call(path: str) -> Figures:
    graph = await graphs.ready()
    with stopwatch() as span:
        scheduler = TaskScheduler(db_path=path, graph=graph)
        scheduler.start()
        while not graphs.calls:
            await asyncio.sleep(LOOK)
    await scheduler.stop()
    return {"cpu_ms": span.cpu * 1e3, "ms": span.seconds * 1e3}
