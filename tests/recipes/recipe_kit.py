"""The files that a page under docs/recipes shows, written into a folder, and programs that are started there."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import PATIENCE

from scheduler import TaskScheduler

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs" / "recipes").glob("*.md"))
_BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)

GRAPH = '''
"""Answers at once; to "Wait." when the file `go` is there. Each call is noted in the file `calls`."""
import asyncio, os
from pathlib import Path

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph


async def answer(state: MessagesState, config):
    with open("calls", "a") as calls:
        print(config["metadata"]["scheduler_run_id"], os.getpid(), file=calls)
    prompt = state["messages"][-1].text
    while prompt == "Wait." and not Path("go").exists():
        await asyncio.sleep(0.02)
    if prompt == "Fail.":
        raise ValueError("no such city <!channel>")
    return {"messages": [AIMessage(f"Echo: {prompt}")]}


builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_edge(START, "answer")
builder.add_edge("answer", END)
graph = builder.compile()
'''

TASKS = """
[[task]]
id = "hello"
name = "Hello"
schedule = "on the 1st of every month at noon"
prompt = "Say hello."
session_mode = "per_run"

[[task]]
id = "slow"
name = "Slow"
schedule = "on the 1st of every month at noon"
prompt = "Wait."
session_mode = "per_run"
"""


def files_of(page):
    """Return what a page shows, by the title of each block."""
    text = (ROOT / "docs" / "recipes" / page).read_text(encoding="utf-8")
    return {title: content for _, title, content in _BLOCK.findall(text)}


def until(look, what="what is waited for"):
    """Return what a look from outside finds, once it finds something."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come within {PATIENCE} s")
        time.sleep(0.02)
    return found


class Project:
    """A folder with the files of a page, and what is started in it."""

    def __init__(self, folder, page=None):
        self.folder = folder
        self.files = {} if page is None else files_of(page)
        for title, content in {**self.files, "graph.py": GRAPH, "tasks.toml": TASKS}.items():
            (folder / title).parent.mkdir(parents=True, exist_ok=True)
            (folder / title).write_text(content)

    def environment(self, **extra):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCHEDULER_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
        return {**inherited, "PATH": path, "PYTHONUNBUFFERED": "1", **extra}

    @contextmanager
    def start(self, *command, **extra):
        """Start a program of the environment that the tests run in; all its processes are killed in the end."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
        environment = self.environment(**extra)
        with subprocess.Popen(command, cwd=self.folder, env=environment, **options) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def face(self, path="scheduler.db"):
        """Open the store from here."""
        return TaskScheduler(db_path=self.folder / path)

    def calls(self):
        """Return the id of the run, and of the process, of each call of the graph."""
        file = self.folder / "calls"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def wait_for(process, pattern):
    """Read a program's output up to a line that matches; return the match."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(pattern, line):
            return found
    pytest.fail(f"the program ended before it printed {pattern!r}:\n{''.join(lines)}")


def end(process, number=signal.SIGTERM):
    """Send a signal; return the exit code and the rest of the output."""
    process.send_signal(number)
    rest = process.stdout.read()
    return process.wait(), rest


def http(url, body=None, method=None):
    """Return status and JSON of a request."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json"}, method=method or ("GET" if data is None else "POST")
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def needs(*modules):
    """Skip the tests of a page whose packages are not installed."""
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed: pip install -e '.[recipes]'")
