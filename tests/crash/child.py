"""A program that runs a scheduler and tells what happens in it; and the nursery, which forks such programs.

A child is a process of its own that imports nothing any more when it begins, so that a test can afford dozens. It
writes one line for each event to its output, and to the ledger, a file that only grows, when its graph is entered
and left. It obeys one command a line from its input: `release`, `stop`, `leave`, `turns`, `step SECONDS`.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg  # noqa: F401 (imported once, for all children)
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401
import time_machine

from scheduler import SchedulerError, StoreError, TaskDefinition, TaskScheduler
from scheduler.store.database.postgres import PostgresDatabase
from scheduler.store.database.sqlite import SqliteDatabase

UNBLOCK = "unblock"
"""The file beside the ledger whose coming ends what blocks a loop."""
_TURN = 0.01
"""Seconds between two turns of the loop that are counted."""


def tell(*words):
    """Write a line to the one who watches."""
    os.write(1, (" ".join(map(str, words)).replace("\n", "\\n") + "\n").encode())


class LogToParent(logging.Handler):
    """Send log lines to the parent process, like everything else."""

    def emit(self, record):
        tell("log", record.levelname, record.getMessage(), record.exc_info[1] if record.exc_info else "")


class Graph:
    """Does what the prompt says, and writes each entry and exit into the ledger."""

    def __init__(self, ledger):
        self.gate = asyncio.Event()
        self._path = ledger
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def ainvoke(self, input, config=None):  # noqa: A002 (LangGraph's own signature)
        metadata = config["metadata"]
        entry = metadata["task_id"], metadata["scheduler_run_id"], metadata["scheduled_at"]
        message = input["messages"][-1]
        script = message["content"] if isinstance(message, dict) else message.content
        self._note("begin", *entry)
        try:
            await self._act(entry[1], *script.split())
        except asyncio.CancelledError:
            self._note("cancelled", *entry)
            raise
        self._note("end", *entry)
        return {"messages": [{"role": "assistant", "content": "Done."}]}

    async def _act(self, run_id, action, *arguments):
        if action == "slow":
            await asyncio.sleep(float(arguments[0]))
        elif action == "hold":
            await self.gate.wait()
        elif action == "block":
            self._block(Path(self._path).with_name(UNBLOCK))
        elif action == "stubborn":
            await self._whatever_comes()
        elif action == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "fail" and self._entries(run_id) <= int(arguments[0]):
            message = "as the prompt says"
            raise ValueError(message)

    def _block(self, end):
        """Let the event loop stand still until there is a file."""
        while not end.exists():
            time.sleep(_TURN)

    async def _whatever_comes(self):
        waiting = asyncio.ensure_future(self.gate.wait())
        while not waiting.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(waiting)

    def _entries(self, run_id):
        with open(self._path) as ledger:  # noqa: PTH123
            return sum(line.startswith("begin") and run_id in line for line in ledger)

    def _note(self, event, *entry):
        os.write(self._ledger, (" ".join((event, *entry, str(os.getpid()))) + "\n").encode())
        tell(event, *entry)


def in_langgraph(graph):
    """Return a compiled graph whose node calls another graph."""
    from langchain_core.runnables import RunnableConfig
    from langgraph.graph import END, START, MessagesState, StateGraph

    async def node(state: MessagesState, config: RunnableConfig):
        return await graph.ainvoke(state, config)

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return builder.compile()


class Faults:
    """What goes wrong at a commit of this process, counted from 1: `{"kill_before": 3}`."""

    def __init__(self, faults):
        self._faults = faults
        self._commits = 0
        self._lock = threading.Lock()
        self.stop = None

    def install(self):
        if self._faults:
            for database in (SqliteDatabase, PostgresDatabase):
                database.write = self._around(database.write)

    def _around(self, write):
        @contextlib.contextmanager
        def faulty(database, *arguments):
            with write(database, *arguments) as connection:
                yield connection
                with self._lock:
                    self._commits += 1
                    number = self._commits
                if self._faults.get("kill_before") == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                if self._faults.get("fail_before") == number:
                    raise StoreError(database.name, "the commit failed", "nothing was stored")
            if self._faults.get("kill_after") == number:
                os.kill(os.getpid(), signal.SIGKILL)
            if self._faults.get("stop_after") == number:
                tell("stopping now")
                self.stop()
            if self._faults.get("fail_after") == number:
                raise StoreError(
                    database.name, "the connection broke at the commit", "nobody knows whether it is stored"
                )

        return faulty


class Child:
    """A scheduler, and what its input commands."""

    def __init__(self, spec):
        self._spec = spec
        self._turns = 0
        self._moved = None
        self._awaited = True
        self._over = asyncio.Event()
        self._graph = Graph(spec["ledger"])
        self._buffer = b""

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.add_reader(0, self._read)
        loop.add_signal_handler(signal.SIGTERM, self._over.set)
        faults = Faults(self._spec["faults"])
        faults.install()
        graph = in_langgraph(self._graph) if self._spec["langgraph"] else self._graph
        scheduler = TaskScheduler(graph=graph, **self._spec["options"])
        faults.stop = scheduler.stop
        for text in self._spec["add"]:
            task = TaskDefinition.model_validate_json(text)
            scheduler.add_task(task)
            tell("added", task.id)
        scheduler.start()
        tell("started")
        self._turn()
        await self._over.wait()
        stopping = scheduler.stop()
        if self._awaited:
            await stopping
            tell("has drained")

    def _turn(self):
        self._turns += 1
        asyncio.get_running_loop().call_later(_TURN, self._turn)

    def _read(self):
        data = os.read(0, 4096)
        if not data:
            os._exit(1)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._obey(*line.decode().split())

    def _obey(self, command, *arguments):
        if command == "release":
            self._graph.gate.set()
        elif command == "turns":
            tell("turns", self._turns)
        elif command == "step":
            self._step(float(arguments[0]))
        else:
            self._awaited = command == "stop"
            self._over.set()

    def _step(self, seconds):
        """Put the wall clock of this process forward or back."""
        if self._moved is None:
            self._moved = time_machine.travel(datetime.now(UTC), tick=True).start()
        self._moved.shift(seconds)
        tell("stepped", seconds)


def run(spec):
    """Be a child, to the end."""
    log = logging.getLogger("scheduler")
    log.addHandler(LogToParent())
    log.setLevel(logging.WARNING)
    log.propagate = False
    try:
        asyncio.run(_run(spec))
    except SchedulerError as error:
        tell("error", error)
    tell("over")


async def _run(spec):
    await Child(spec).run()


def nursery(control):
    """Fork a child for each message, whose output and input are the two files that come with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, files, _, _ = socket.recv_fds(control, 1 << 18, 2)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            os.dup2(files[0], 1)
            os.dup2(files[1], 0)
            for file in files:
                os.close(file)
            try:
                run(json.loads(message))
            finally:
                sys.stdout.flush()
                os._exit(0)
        for file in files:
            os.close(file)
        control.send(str(pid).encode())


if __name__ == "__main__":
    if sys.argv[1] == "nursery":
        nursery(socket.socket(fileno=int(sys.argv[2])))
    else:
        run(json.loads(sys.argv[1]))
