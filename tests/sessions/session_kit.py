"""Graphs that remember, stop, fail and ask; and a process that runs them, which tests kill."""

import asyncio
import operator
import os
import signal
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import pytest
from helpers import PATIENCE
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def chain(state, **nodes):
    """Return a graph, not compiled, whose nodes follow one another."""
    builder = StateGraph(state)
    before = START
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    builder.add_edge(before, END)
    return builder


async def count(state):
    """Answer with the number of messages that the conversation has."""
    return {"messages": [AIMessage(str(len(state["messages"])))]}


def counting():
    """Return a graph that answers with the number of messages that it sees."""
    return chain(MessagesState, count=count).compile()


class Gate:
    """A node that waits until it is opened, and knows how many were in it at once."""

    def __init__(self):
        self.opened, self.entered = asyncio.Event(), asyncio.Event()
        self.inside = self.most = 0

    async def __call__(self, state):
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        try:
            await self.opened.wait()
            await asyncio.sleep(0)
            return await count(state)
        finally:
            self.inside -= 1


class Steps:
    """Three steps, a, b and c: what they do is noted, and can be made to wait, to fail, and to ask."""

    def __init__(self):
        self.done = []
        self.failures = {}
        self.gates = {}

    def _step(self, name):
        async def step(state):
            self.done.append(name)
            if name in self.gates:
                await self.gates[name](state)
            if self.failures.get(name, 0):
                self.failures[name] -= 1
                message = f"{name} fails"
                raise ValueError(message)
            return {"messages": [AIMessage(name)]}

        return step

    def graph(self):
        return chain(MessagesState, **{name: self._step(name) for name in "abc"}).compile()


class Log(TypedDict):
    """What the nodes of an asking graph note."""

    messages: Annotated[list, operator.add]


def asking(*nodes, state=Log):
    """Return a graph whose nodes stand side by side."""
    builder = StateGraph(state)
    for node in nodes:
        builder.add_node(node.__name__, node)
        builder.add_edge(START, node.__name__)
        builder.add_edge(node.__name__, END)
    return builder.compile()


async def approve(_state):
    """Ask whether to continue."""
    answer = interrupt({"ask": "Go on?"})
    return {"messages": [AIMessage(f"It was {answer!r}.")]}


# --- A process of its own ---


class Process:
    """A program with a scheduler; its lines are what its nodes did."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "session_child.py"), *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        self._timer = threading.Timer(PATIENCE * 2, self._process.kill)
        self._timer.start()

    def wait_for(self, line):
        """Read on until a line."""
        for each in self._process.stdout:
            self.lines.append(each.rstrip())
            if line in each:
                return self
        pytest.fail(f"it ended before it printed {line!r}:\n" + "\n".join(self.lines))

    def command(self, line):
        """Write a line to its input."""
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def send(self, number):
        self._process.send_signal(number)

    def wait_for_end(self):
        """Read the rest."""
        self.lines += [line.rstrip() for line in self._process.stdout]
        self._process.wait()
        self._timer.cancel()
        self._process.stdin.close()
        self._process.stdout.close()
        return self

    def kill(self):
        self.send(signal.SIGKILL)
        return self.wait_for_end()

    def steps(self):
        """Return the steps that it began."""
        return [line.split()[1] for line in self.lines if line.startswith("step ")]


@asynccontextmanager
async def saver_at(place):
    """Open the saver of a store: `(kind, where)`."""
    kind, where = place
    if kind == "postgres":
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

        async with AsyncPostgresSaver.from_conn_string(where.replace("+psycopg", "")) as saver:
            await saver.setup()
            yield saver
    else:
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        async with AsyncSqliteSaver.from_conn_string(str(Path(where).with_name("checkpoints.db"))) as saver:
            yield saver


def store_at(place):
    """Return the arguments of `TaskScheduler` for a store."""
    kind, where = place
    return {"db_url": where} if kind == "postgres" else {"db_path": where}
