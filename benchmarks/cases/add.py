"""Adding tasks: ten thousand in one call, and one by one, each of them durable when the call returns."""

import heapq
import json
import sqlite3
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cronsim import CronSim

from benchmarks.measure import stopwatch
from benchmarks.model import Figures, Setting
from benchmarks.stores import PROMPT, check_listed, cron, daily, rows
from scheduler import TaskScheduler

TASKS = 10_000
SINGLE = 300
"""How many tasks are added one by one."""
SCHEMA = "CREATE TABLE tasks (id TEXT PRIMARY KEY, definition TEXT NOT NULL, next_due INTEGER)"
INSERT = "INSERT INTO tasks VALUES (?, ?, ?)"


def many(setting: Setting, *, all_different: bool = False) -> Figures:
    """Build and add cron tasks by one `add_tasks`."""
    number, path = setting.sized(TASKS), setting.fresh_store()
    expression = different if all_different else daily
    scheduler = TaskScheduler(db_path=path)
    with stopwatch() as span:
        scheduler.add_tasks([cron(each, expression(each)) for each in range(number)])
    check_listed(path, number)
    return {"us_per_task": span.seconds / number * 1e6, "cpu_us_per_task": span.cpu / number * 1e6}


def different(number: int) -> str:
    """Return an expression that no other of the first forty thousand numbers has."""
    return f"{number % 60} {number // 60 % 24} {number // 1440 % 28 + 1} * *"


def many_bare(setting: Setting, *, all_different: bool = False) -> Figures:
    """Compute each due time with cronsim, push it on a heap, and insert all in one transaction of sqlite3."""
    number, path = setting.sized(TASKS), setting.fresh_store()
    expression = different if all_different else daily
    connection = bare(path)
    with stopwatch() as span:
        now = datetime.now(UTC)
        heap: list[tuple[int, str]] = []
        inserted = []
        for each in range(number):
            task = definition(each, expression(each))
            due = int(next(CronSim(task["cron_expression"], now)).timestamp() * 1e6)
            heapq.heappush(heap, (due, task["id"]))
            inserted.append((task["id"], json.dumps(task), due))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, inserted)
        connection.execute("COMMIT")
    assert len(heap) == number
    with rows(path) as ask:
        assert ask("SELECT count(*) FROM tasks") == [(number,)]
    return {"us_per_task": span.seconds / number * 1e6, "cpu_us_per_task": span.cpu / number * 1e6}


def definition(number: int, expression: str) -> dict[str, str]:
    """Return a task without a class of its own."""
    return {
        "id": f"cron-{number}",
        "name": f"Task {number}",
        "task_type": "cron",
        "cron_expression": expression,
        "prompt": PROMPT,
    }


def bare(path: str) -> sqlite3.Connection:
    """Open a file as durably as the scheduler does, with a table that has one index."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(SCHEMA)
    connection.execute("CREATE INDEX due ON tasks (next_due)")
    return connection


def single(setting: Setting) -> Figures:
    """Add tasks one by one, in turn with a bare insert into another file: the disk changes its pace too often."""
    number, path = setting.sized(SINGLE), setting.fresh_store()
    scheduler, connection = TaskScheduler(db_path=path), bare(setting.fresh_store("bare.db"))
    scheduler.add_task(cron(number, daily(0)))

    def add(each: int) -> None:
        scheduler.add_task(cron(each, daily(each)))

    def insert(each: int) -> None:
        task = definition(each, daily(each))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(INSERT, (task["id"], json.dumps(task), each))
        connection.execute("COMMIT")

    figures = medians_in_turn(number, us=add, bare_us=insert)
    check_listed(path, number + 1)
    assert connection.execute("SELECT count(*) FROM tasks").fetchall() == [(number,)]
    return figures


def medians_in_turn(number: int, **calls: Callable[[int], None]) -> Figures:
    """Make each call with 0, 1, … in turn; return the median of each in µs."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for each in range(number):
        for name, call in calls.items():
            began = time.perf_counter()
            call(each)
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) * 1e6 for name, found in times.items()}
