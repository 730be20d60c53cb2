"""Cancel: how long it takes from `cancel_run` in one process to the graph of a run in another one."""

import asyncio
import multiprocessing
import time
from multiprocessing.connection import Connection
from statistics import median

from benchmarks.model import Figures, Setting
from scheduler import TaskDefinition, TaskScheduler, TaskType

RUNS = 20
POLL_SECONDS = 1.0
"""The default of `poll_interval`: the owner looks at the store so often."""
GOLDEN = 0.618
"""The cancels are spread over the interval between two looks."""


class Waiting:
    """Tells when a run has started, and when it was cancelled."""

    def __init__(self, pipe: Connection) -> None:
        """Take where to tell it."""
        self._pipe = pipe

    async def ainvoke(self, given: object, config: object = None) -> None:  # noqa: ARG002 (LangGraph's signature)
        """Wait to be cancelled."""
        self._pipe.send(time.time())
        try:
            await asyncio.Event().wait()
        finally:
            self._pipe.send(time.time())


def own(path: str, pipe: Connection) -> None:
    """Run a scheduler until the other end of the pipe says that it is enough."""
    asyncio.run(_own(path, pipe))


async def _own(path: str, pipe: Connection) -> None:
    async with TaskScheduler(db_path=path, graph=Waiting(pipe), poll_interval=POLL_SECONDS, shutdown_grace_seconds=0):
        while not pipe.poll():
            await asyncio.sleep(POLL_SECONDS / 4)


def across_processes(setting: Setting) -> Figures:
    """Trigger a run, wait for its start elsewhere, cancel it, and ask when its graph heard of it."""
    path, number = setting.fresh_store(), setting.sized(RUNS, least=1)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    scheduler = TaskScheduler(db_path=path)
    fields = {"name": "t", "prompt": "Wait.", "interval_seconds": 86_400}
    scheduler.add_task(TaskDefinition(id="t", task_type=TaskType.INTERVAL, **fields))
    owner = context.Process(target=own, args=(path, there))
    owner.start()
    latencies = []
    for each in range(number):
        run_id = scheduler.trigger_task("t")
        here.recv()
        time.sleep(each * GOLDEN % 1 * POLL_SECONDS)
        before = time.time()
        scheduler.cancel_run(run_id)
        latencies.append((here.recv() - before) * 1e3)
    here.send("enough")
    owner.join()
    assert {run.status for run in scheduler.list_runs(limit=number)} <= {"cancelled", "running"}
    scheduler.stop()
    return {"longest_ms": max(latencies), "median_ms": median(latencies)}
