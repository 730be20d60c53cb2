"""A project in a folder, the commands that are run in it, and what of their output changes from run to run."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scheduler import TaskScheduler
from scheduler.cli import app

ROOT = Path(__file__).parent.parent.parent

GRAPH = r"""
import asyncio

class Echo:
    def compile(self):
        return self

    async def ainvoke(self, given, config=None):
        prompt = given["messages"][-1]["content"]
        if prompt == "Fail.":
            raise ValueError("no such city")
        if prompt == "Wait.":
            await asyncio.Event().wait()
        return {"messages": [{"role": "assistant", "content": f"Echo: {prompt}"}]}

graph = Echo().compile()

async def notify(task, result):
    pass
"""

PROGRAM = """
import asyncio, signal
from scheduler import TaskScheduler
from scheduler.cli import app

async def main():
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with TaskScheduler(poll_interval=0.05, shutdown_grace_seconds=0):
        print("running", flush=True)
        await stopping.wait()

asyncio.run(main())
"""


CLEAN = {"SCHEDULER_DB": None, "NO_COLOR": None, "FORCE_COLOR": None, "COLUMNS": None}


def environment(**extra):
    """Return the environment of a command: what could change its output is taken out."""
    unset = {"NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "COLUMNS", "PYTHONPATH"}
    inherited = {k: v for k, v in os.environ.items() if k not in unset and not k.startswith("SCHEDULER_")}
    return {**inherited, "TZ": "UTC", "PYTHONUNBUFFERED": "1", **extra}


class Place:
    """A project's folder, and the commands that are run in it."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "graph.py").write_text(GRAPH)

    def run(self, *arguments, code=0, given="", **extra):
        """Run a command to its end; return what it printed, and hold its exit code against `code`."""
        done = subprocess.run(
            [sys.executable, "-m", "scheduler", *arguments],
            cwd=self.folder,
            env=environment(**extra),
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments, code=0):
        """Run a command with --json; return what it printed."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def quick(self, *arguments, code=0, given=None, variables=None):
        """Run a command inside the test: for what one process shows already, and only where no code is imported."""
        env = {**CLEAN, **(variables or {})}
        with chdir(self.folder):
            result = CliRunner().invoke(app, list(arguments), input=given, prog_name="task-scheduler", env=env)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def quick_json(self, *arguments):
        """Run a command with --json inside the test; return what it printed."""
        return json.loads(self.quick(*arguments, "--json").stdout)

    @contextmanager
    def start(self, *command, **options):
        """Start a program whose output is read line by line; it is killed in the end if it still runs."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options}
        with subprocess.Popen([sys.executable, *command], cwd=self.folder, env=environment(), **options) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def face(self):
        """Open the store from here."""
        face = TaskScheduler(db_path=self.folder / "scheduler.db")
        try:
            yield face
        finally:
            face.stop()


def end_of(store, run_id, status, field, text):
    """Write the end of a run into the file itself."""
    values = (status, text, run_id)
    store.execute(f"UPDATE scheduler_runs SET status = ?, finished_at = scheduled_at, {field} = ? WHERE id = ?", values)


def wait_for(process, text):
    """Read a program's output up to a line that holds a text, or matches it; return that line."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line or re.search(text, line):
            return line
    pytest.fail(f"the program ended before it printed {text!r}:\n{''.join(lines)}")


def end(process, number=signal.SIGTERM):
    """Send a signal; return the exit code and the rest of the output."""
    process.send_signal(number)
    rest = process.stdout.read()
    return process.wait(), rest


CHANGES = {
    r"[0-9a-f]{8}-[0-9a-f-]{27}": "ID",
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?([+-]\d\d:\d\d)?": "WHEN",
    r"\b(in \d+ (s|min)|(today|tomorrow|Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d\d:\d\d(:\d\d)?)": "WHEN",
    r"\b\d+ ms|\b\d+\.\d s": "TOOK",
    r"\d+ zones; tzdata \S+": "ZONES",
    r"[ ]+": " ",
}


def without_changes(text):
    """Return a text with names for what differs from run to run: ids, times, durations, the width of columns."""
    for pattern, name in CHANGES.items():
        text = re.sub(pattern, name, text)
    return text


CHANGING = {
    "id",
    "number",
    "scheduled_at",
    "started_at",
    "finished_at",
    "duration_seconds",
    "next_due",
    "due_times",
    "at",
}


def steady(shape, *, keep=()):
    """Return JSON with what changes from run to run replaced by the name of its type; `id` only of runs."""
    if isinstance(shape, list):
        return [steady(item, keep=keep) for item in shape]
    if not isinstance(shape, dict):
        return shape
    is_run = "task_id" in shape and "trigger" in shape
    changing = {name for name in CHANGING if name != "id" or is_run} - set(keep)
    return {
        name: type(value).__name__ if name in changing else steady(value, keep=keep) for name, value in shape.items()
    }
