"""Graphs and waits that the tests share."""

import asyncio
import os
import re
import socket
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scheduler import TaskDefinition, TaskType
from scheduler.engine.claim_ahead import ClaimAhead

PATIENCE = 20
"""So many seconds a test waits for what must come; it decides nothing but when a test that hangs is ended."""


class EchoGraph:
    """Answers at once with what it was sent, and remembers its calls."""

    def __init__(self):
        self.calls = []

    async def ainvoke(self, given, config=None):
        self.calls.append((given, config))
        await asyncio.sleep(0)
        return {"messages": [{"role": "assistant", "content": f"Echo: {given['messages'][-1]['content']}"}]}


class BlockingGraph(EchoGraph):
    """Answers when `release` is set; `most` is the highest number of runs that were in it at once."""

    def __init__(self):
        super().__init__()
        self.release, self.entered = asyncio.Event(), asyncio.Event()
        self.inside = self.most = self.cancelled = 0

    async def ainvoke(self, given, config=None):
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.calls.append((given, config))
        self.entered.set()
        try:
            await self.release.wait()
            return await EchoGraph().ainvoke(given)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.inside -= 1


class FailingGraph(EchoGraph):
    """Raises."""

    def __init__(self, error=None):
        super().__init__()
        self.error = error or ValueError("no such city")

    async def ainvoke(self, given, config=None):
        self.calls.append((given, config))
        await asyncio.sleep(0)
        raise self.error


def free_port():
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def soon(milliseconds=30):
    """Return an instant a moment ahead."""
    return datetime.now(UTC) + timedelta(milliseconds=milliseconds)


def one_time(task_id="once", run_at=None, **fields):
    """Return a task that is due a moment from now."""
    fields = {"name": task_id.title(), "prompt": f"Prompt of {task_id}", **fields}
    return TaskDefinition(id=task_id, task_type=TaskType.ONE_TIME, run_at=run_at or soon(), **fields)


def hourly(task_id="hourly", **fields):
    """Return a task that does not become due during a test."""
    fields = {"name": task_id.title(), "prompt": f"Prompt of {task_id}", "interval_seconds": 3600, **fields}
    return TaskDefinition(id=task_id, task_type=TaskType.INTERVAL, **fields)


def start_with_claims_ahead(scheduler, number, monkeypatch):
    """Start with so many tasks that are due at one instant, all of which are claimed, whatever slots are free."""
    monkeypatch.setattr(ClaimAhead, "note_ended", lambda *_: None)
    due = soon(20)
    scheduler.add_tasks(one_time(f"t{each}", due) for each in range(number))
    scheduler.start()
    scheduler.scheduler.engine._started.passes.claim_ahead.ahead = 10


async def wait_until(condition, scheduler):
    """Return once a condition holds; it is looked at after each pass, and there is one at least each second."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await scheduler.scheduler.pass_done.wait()


async def wait_for_runs(scheduler, number, task_id=None):
    """Return the runs of a task, or of all, newest first, once so many of them are over."""

    def over():
        return [run for run in scheduler.list_runs(task_id, limit=1000) if run.finished_at is not None]

    await wait_until(lambda: len(over()) >= number, scheduler)
    return over()


async def steps(number=20):
    """Let the loop go round a few times, so that what is ready gets done."""
    for _ in range(number):
        await asyncio.sleep(0)


@contextmanager
def rows(path):
    """Open the store's file beside the scheduler, as another program would."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
    connection.row_factory = sqlite3.Row
    try:
        yield connection
    finally:
        connection.close()


def statuses(path):
    """Return how often each status occurs in the history of a file; nobody else needs to have it open."""
    with rows(path) as connection:
        return dict(connection.execute("SELECT status, count(*) FROM scheduler_runs GROUP BY status").fetchall())


_TROUBLE = re.compile(r"never awaited|Task was destroyed|ResourceWarning|Exception ignored|never retrieved")

_PRELUDE = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from scheduler import TaskDefinition, TaskScheduler, TaskType

def once(task_id="once", milliseconds=100):
    run_at = datetime.now(UTC) + timedelta(milliseconds=milliseconds)
    return TaskDefinition(id=task_id, name=task_id, task_type=TaskType.ONE_TIME, run_at=run_at, prompt="Go on.")

class Graph:
    def __init__(self):
        self.began = asyncio.Event()

    async def ainvoke(self, given, config=None):
        self.began.set()
        await asyncio.Event().wait()

graph = Graph()
def new(**options):
    return TaskScheduler(db_path="scheduler.db", graph=graph, **options)
"""


def run_program(folder, source, *, code=0):
    """Run a program in a process of its own, where each warning is an error; return what it printed and its errors."""
    program = folder / "program.py"
    program.write_text(_PRELUDE + textwrap.dedent(source))
    command = [sys.executable, "-X", "dev", "-W", "error", str(program)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert not _TROUBLE.search(done.stderr), done.stderr
    return done
