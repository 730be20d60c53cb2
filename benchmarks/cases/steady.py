"""A steady load: interval tasks of one second, spread evenly over it, beside a heap in memory that does the same."""

import asyncio
import heapq
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from benchmarks import graphs
from benchmarks.measure import percentile, stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.stores import PROMPT, check_listed, in_seconds, rows
from scheduler import TaskDefinition, TaskScheduler, TaskType
from scheduler.graphs import graph_config, graph_input
from scheduler.models import RunTrigger
from scheduler.store import Claim
from scheduler.timing.clock import SECOND, to_datetime, to_micros

TASKS = 300
SECONDS = 20
LEAD = 1.5
"""The first instant lies so many seconds ahead of the adding."""
NOT_STARTED = "SELECT coalesce(sum(coalesced + (status IN ('missed', 'skipped'))), 0) FROM scheduler_runs"
STARTED = "SELECT count(*) FROM scheduler_runs WHERE status = 'succeeded'"
LATENESS = "SELECT started_at - scheduled_at FROM scheduler_runs WHERE started_at IS NOT NULL"


class Watch:
    """A graph that notes how late each call comes, and hands it on."""

    def __init__(self, graph: Any) -> None:  # noqa: ANN401 (any graph)
        """Take the graph that does the work."""
        self._graph = graph
        self.late_ms: list[float] = []

    async def ainvoke(self, input: Any, config: Any = None) -> Any:  # noqa: A002, ANN401 (LangGraph's own signature)
        """Note the time, and invoke the graph."""
        due = datetime.fromisoformat(config["metadata"]["scheduled_at"]).timestamp()
        self.late_ms.append((time.time() - due) * 1e3)
        return await self._graph.ainvoke(input, config)


def ours(setting: Setting) -> Figures:
    """Let the scheduler run them."""
    number, path = setting.sized(TASKS), setting.fresh_store()
    figures = asyncio.run(_ours(path, number, setting.sized(SECONDS, least=2)))
    with rows(path) as ask:
        [(not_started,)], [(started,)] = ask(NOT_STARTED), ask(STARTED)
        late_ms = [late / 1e3 for (late,) in ask(LATENESS)]
    assert started == graphs.calls.total(), f"the graph ran {graphs.calls.total()} times, the store has {started}"
    check_listed(path, number)
    stored = {"stored_p50_ms": percentile(late_ms, 50), "stored_p99_ms": percentile(late_ms, 99)}
    return {"missed": not_started, **figures, **stored}


async def _ours(path: str, number: int, seconds: int) -> Figures:
    graph = Watch(await graphs.ready())
    async with TaskScheduler(db_path=path, graph=graph, freeze_gc=True) as scheduler:
        begin = in_seconds(LEAD)
        scheduler.add_tasks(_tasks(number, begin))
        return await _watched(graph, begin, number, seconds)


def _tasks(number: int, begin: datetime) -> Iterator[TaskDefinition]:
    for each in range(number):
        yield TaskDefinition(
            id=f"steady-{each}",
            name=f"Task {each}",
            task_type=TaskType.INTERVAL,
            interval_seconds=1,
            start_at=begin + timedelta(seconds=each / number),
            prompt=PROMPT,
            session_id=f"steady-{each}",
        )


async def _watched(graph: Watch, begin: datetime, number: int, seconds: int) -> Figures:
    """Measure until the runs of this many seconds have started."""
    await asyncio.sleep(begin.timestamp() - time.time())
    with stopwatch() as span:
        await asyncio.sleep(begin.timestamp() + seconds - time.time())
    ran = graphs.calls.total()
    assert ran >= number * seconds * 0.9, f"{ran} runs in {seconds} s, of {number} a second"
    return {
        "cpu_us_per_run": span.cpu / ran * 1e6,
        "p50_ms": percentile(graph.late_ms, 50),
        "p99_ms": percentile(graph.late_ms, 99),
    }


def heap(setting: Setting) -> Figures:
    """Let a heap run them: no store, no history, nothing that survives."""
    return asyncio.run(_heap(setting.sized(TASKS), setting.sized(SECONDS, least=2)))


async def _heap(number: int, seconds: int) -> Figures:
    graph = Watch(await graphs.ready())
    begin = in_seconds(LEAD)
    tasks = list(_tasks(number, begin))
    due = [(to_micros(task.start_at or begin), position) for position, task in enumerate(tasks)]
    heapq.heapify(due)
    serving = asyncio.create_task(_serve(graph, tasks, due))
    try:
        return await _watched(graph, begin, number, seconds)
    finally:
        serving.cancel()


async def _serve(graph: Watch, tasks: list[TaskDefinition], due: list[tuple[int, int]]) -> None:
    running: set[asyncio.Task[Any]] = set()
    while True:
        instant, position = due[0]
        wait = instant / SECOND - time.time()
        if wait > 0:
            await asyncio.sleep(wait)
        heapq.heapreplace(due, (instant + SECOND, position))
        run = asyncio.create_task(_run(graph, tasks[position], instant))
        running.add(run)
        run.add_done_callback(running.discard)


async def _run(graph: Watch, task: TaskDefinition, instant: int) -> None:
    run_id = f"{task.id}-{to_datetime(instant).isoformat()}"
    claim = Claim(run_id, task, instant, 1, 0, RunTrigger.SCHEDULE, f"scheduler:{task.session_id}", None)
    await graph.ainvoke(graph_input(task), graph_config(claim))
