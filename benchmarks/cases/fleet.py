"""Schedulers on one PostgreSQL, whose graphs take their time elsewhere: what so many due times a second cost."""

import asyncio
import json
import math
import multiprocessing
import os
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import played_server
from benchmarks.cases.storm_processes import new_scheduler
from benchmarks.measure import percentile
from benchmarks.model import Figures, Setting
from benchmarks.stores import PROMPT, in_seconds, rows
from scheduler import TaskDefinition, TaskType

SECONDS = 15
"""The time that counts."""
SETTLING = 4.0
"""So many seconds go by before it."""
AFTERWARDS = 5.0
"""What has not started so many seconds after its end counts as left."""
GRAPH_SECONDS = 2.0
"""How long a graph takes."""
LEAST_INTERVAL = 10
NOT_STARTED = "SELECT coalesce(sum(coalesced), 0) FROM scheduler_runs"


class Sleeping:
    """A graph here that takes its time, and notes how late it is called."""

    def __init__(self) -> None:
        """Note nothing yet."""
        self.calls: list[tuple[float, float]] = []

    async def ainvoke(self, input: Any, config: Any = None) -> Any:  # noqa: A002, ANN401, ARG002 (LangGraph's own)
        """Wait, and answer."""
        played_server.note(config, self.calls)
        await asyncio.sleep(GRAPH_SECONDS)
        return {"messages": [{"role": "assistant", "content": "Done."}]}


def run(setting: Setting, *, rate: int, processes: int, tasks: int = 0, on_server: bool = False) -> Figures:
    """Let `rate` interval tasks come due each second, of as many as are needed or more, and see what is started."""
    assert setting.postgres_url is not None
    rate = setting.sized(rate, least=5)
    number = max(setting.sized(tasks, least=0), rate * LEAST_INTERVAL) // rate * rate
    store, seconds = setting.postgres_url, setting.sized(SECONDS, least=3)
    calls: list[tuple[float, float]] = []
    with _server(on_server=on_server) as graph, _members(store, graph, rate, processes, calls) as members:
        adder = new_scheduler(store, graph=Sleeping())
        begin = in_seconds(2 + number / 4_000)
        adder.add_tasks(_tasks(number, begin, rate))
        adder.stop()
        opens = begin + timedelta(seconds=SETTLING)
        closes = opens + timedelta(seconds=seconds)
        _sleep_until(opens)
        before, machine = _cpu(members), _machine()
        _sleep_until(closes)
        cpu, busy = _cpu(members) - before, _busy(machine, _machine())
        _sleep_until(closes + timedelta(seconds=AFTERWARDS))
        calls += _told_by(graph)
    late_ms = [late * 1e3 for due, late in calls if opens.timestamp() <= due < closes.timestamp()]
    with rows(store) as ask:
        [(left,)] = ask(NOT_STARTED)
    return {
        "due_per_second": rate,
        "started_per_second": len(late_ms) / seconds,
        "p50_ms": percentile(late_ms, 50),
        "p99_ms": percentile(late_ms, 99),
        "left": float(left),
        "cpu_ms_per_run": cpu / (rate * seconds) * 1e3,
        "busy_share": busy,
    }


def _told_by(graph: str | None) -> list[tuple[float, float]]:
    """Ask a played server for the calls that came to it."""
    if graph is None:
        return []
    url = graph.removeprefix("langgraph+").removesuffix("/agent")
    with urllib.request.urlopen(f"{url}/calls") as answer:  # noqa: S310 (our own server)
        found: list[tuple[float, float]] = json.load(answer)
    return found


def _tasks(number: int, begin: datetime, rate: int) -> Iterator[TaskDefinition]:
    interval = number // rate
    for each in range(number):
        yield TaskDefinition(
            id=f"fleet-{each}",
            name=f"Task {each}",
            task_type=TaskType.INTERVAL,
            interval_seconds=interval,
            start_at=begin + timedelta(seconds=each / rate),
            prompt=PROMPT,
            session_id=f"fleet-{each}",
        )


@contextmanager
def _server(*, on_server: bool) -> Iterator[str | None]:
    """Play a server, if there is to be one; give the address of its graph."""
    if not on_server:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=played_server.serve, args=(GRAPH_SECONDS, sender))
    process.start()
    try:
        yield f"langgraph+http://127.0.0.1:{receiver.recv()}/agent"
    finally:
        process.terminate()
        process.join()


@contextmanager
def _members(
    store: str, graph: str | None, rate: int, processes: int, calls: list[tuple[float, float]]
) -> Iterator[list[int]]:
    """Run so many schedulers; give the ids of their processes; at the end, add the calls of graphs in them."""
    context = multiprocessing.get_context("spawn")
    ready, over, reports = context.Semaphore(0), context.Event(), context.Queue()
    slots = math.ceil(rate * GRAPH_SECONDS * 3) + 32  # any one of them could run them all
    members = [
        context.Process(target=_member, args=(store, graph, slots, ready, over, reports)) for _ in range(processes)
    ]
    for member in members:
        member.start()
    for _ in members:
        ready.acquire()
    try:
        yield [member.pid or 0 for member in members]
    finally:
        over.set()
        for _ in members:
            calls += reports.get()
        for member in members:
            member.join()


def _member(*arguments: Any) -> None:  # noqa: ANN401 (untyped events and queues)
    store, graph, slots, ready, over, reports = arguments
    sleeping = Sleeping()

    async def serve() -> None:
        async with new_scheduler(store, graph=graph or sleeping, max_concurrent_runs=slots):
            ready.release()
            parent = multiprocessing.parent_process()
            while not over.is_set() and parent is not None and parent.is_alive():
                await asyncio.sleep(0.2)

    asyncio.run(serve())
    reports.put(sleeping.calls)


def _sleep_until(moment: datetime) -> None:
    time.sleep(max(0.0, moment.timestamp() - time.time()))


def _cpu(pids: list[int]) -> float:
    """Return the CPU seconds that processes have used, as Linux tells them."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split() for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields) / ticks


def _machine() -> tuple[int, int]:
    """Return the ticks that the machine's processors worked, and all of them."""
    numbers = [int(each) for each in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)


def _busy(before: tuple[int, int], after: tuple[int, int]) -> float:
    return (after[0] - before[0]) / max(1, after[1] - before[1])
