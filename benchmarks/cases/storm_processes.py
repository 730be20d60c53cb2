"""The storm with several processes on one store, a file or PostgreSQL: none runs twice, whoever runs it."""

import asyncio
import multiprocessing
import time
from collections import Counter
from multiprocessing.synchronize import Event
from typing import Any

from benchmarks import graphs
from benchmarks.model import Figures, Setting
from benchmarks.stores import check_history, in_seconds, once, rows
from scheduler import TaskScheduler

TASKS = 5_000
LEAD = 2.5
"""The instant lies so many seconds ahead of the adding: the other processes look at the store each second."""
LOOK = 0.01
"""How often the processes' counts are looked at, in seconds."""


def sqlite(setting: Setting, *, processes: int) -> Figures:
    """Share one SQLite file."""
    return _storm(setting.fresh_store(), setting.sized(TASKS), processes)


def postgres(setting: Setting, *, processes: int) -> Figures:
    """Share one database of PostgreSQL, on loopback."""
    assert setting.postgres_url is not None
    return _storm(setting.postgres_url, setting.sized(TASKS), processes)


def _storm(store: str, number: int, processes: int) -> Figures:
    context = multiprocessing.get_context("spawn")
    ready, over, calls = context.Semaphore(0), context.Event(), context.Queue()
    counts = [context.Value("i", 0, lock=False) for _ in range(processes)]
    members = [context.Process(target=_member, args=(store, ready, over, count, calls)) for count in counts]
    for member in members:
        member.start()
    for _ in members:
        ready.acquire()
    run_at = in_seconds(LEAD + number / 5_000)
    new_scheduler(store).add_tasks(once(each, run_at) for each in range(number))
    time.sleep(max(0.0, run_at.timestamp() - time.time()))
    seconds = _until_stored(store, number, counts)
    over.set()
    shares: list[Counter[str]] = [calls.get() for _ in members]
    for member in members:
        member.join()
    graphs.calls.clear()
    graphs.calls.update(sum(shares, Counter()))
    graphs.check_each_once(number)
    check_history(store, succeeded=number)
    return {
        "seconds": seconds,
        "runs_per_second": number / seconds,
        "smallest_share": min(share.total() for share in shares) / number,
    }


def new_scheduler(store: str, **options: Any) -> TaskScheduler:  # noqa: ANN401 (whatever the class takes)
    """Return a scheduler on a file's path or an URL."""
    return TaskScheduler(**({"db_url": store} if "://" in store else {"db_path": store}), **options)


def _until_stored(store: str, number: int, counts: list[Any]) -> float:
    """Wait until all outcomes are in the store; return how long that took."""
    began = time.perf_counter()
    while sum(count.value for count in counts) < number:
        time.sleep(LOOK)
    with rows(store) as ask:
        while ask("SELECT count(*) FROM scheduler_runs WHERE status = 'succeeded'") != [(number,)]:
            time.sleep(LOOK)
    return time.perf_counter() - began


def _member(store: str, ready: Any, over: Event, count: Any, calls: Any) -> None:  # noqa: ANN401 (untyped)
    asyncio.run(_serve(store, ready, over, count))
    calls.put(graphs.calls)


async def _serve(store: str, ready: Any, over: Event, count: Any) -> None:  # noqa: ANN401 (untyped)
    async with new_scheduler(store, graph=await graphs.ready()):
        ready.release()
        parent = multiprocessing.parent_process()
        while not over.is_set() and parent is not None and parent.is_alive():
            count.value = len(graphs.calls)
            await asyncio.sleep(LOOK)
