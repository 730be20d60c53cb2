"""`run_until_signal` in a process of its own, ended by signals."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from helpers import PATIENCE, EchoGraph

from scheduler import TaskScheduler, run_until_signal
from scheduler.errors import TasksFileError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones")

PROGRAM = """
import asyncio, logging, signal
from scheduler import TaskScheduler, run_until_signal

class Graph:
    async def ainvoke(self, given, config=None):
        prompt = given["messages"][-1]["content"]
        print("began:", prompt, flush=True)
        if prompt == "Wait.":
            await asyncio.Event().wait()
        return {"messages": [{"role": "assistant", "content": "Done."}]}

async def main():
    scheduler = TaskScheduler(graph=Graph())
    await run_until_signal(scheduler, "tasks.toml")
    assert not scheduler.scheduler.running
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    print("stopped", flush=True)

logging.basicConfig(level=logging.INFO)
asyncio.run(main())
"""
TASK = """
[[task]]
id = "t"
name = "T"
schedule = "every 1 second"
prompt = "{prompt}"
"""


@contextmanager
def program(folder, prompt="Go on."):
    """Start the program in a folder with one task."""
    (folder / "tasks.toml").write_text(TASK.format(prompt=prompt))
    (folder / "program.py").write_text(PROGRAM)
    process = subprocess.Popen(
        [sys.executable, "-u", "program.py"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def wait_for(process, pattern):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return
    pytest.fail(f"the program ended before it printed {pattern!r}:\n{''.join(lines)}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_a_signal_and_keeps_the_file_applied(tmp_path, number):
    """It applies the file, prints the banner, applies an edit, logs a wrong one, and stops; the program continues."""
    with program(tmp_path) as process:
        wait_for(process, r"tasks.toml applied: 1 added, 0 changed, 0 kept, 0 removed")
        wait_for(process, r"^Scheduler running. Press Ctrl\+C to stop.$")
        wait_for(process, "began: Go on.")
        (tmp_path / "tasks.toml").write_text(TASK.format(prompt="Go further."))
        wait_for(process, "tasks.toml applied: 0 added, 1 changed, 0 kept, 0 removed")
        wait_for(process, "began: Go further.")
        (tmp_path / "tasks.toml").write_text(TASK.format(prompt="Go.") + 'result_callback = "no.such"\n')
        wait_for(process, "The tasks stay as they were: tasks.toml, line 7: Task t: result_callback='no.such'")
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait() == 0, rest
        assert rest.endswith("stopped\n")


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    """With exit code 130, and without a traceback."""
    with program(tmp_path, "Wait.") as process:
        wait_for(process, "began: Wait.")
        process.send_signal(signal.SIGINT)
        wait_for(process, "press Ctrl\\+C again")
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait() == 130, rest
        assert "Traceback" not in rest
        assert "stopped\n" not in rest.splitlines(keepends=True)


async def test_a_file_that_is_wrong_at_the_start(tmp_path, capsys):
    """It is raised, nothing has started, and the store is closed."""
    (tmp_path / "tasks.toml").write_text("[[task]]\nid = 1\n")
    scheduler = TaskScheduler(persistent=False, graph=EchoGraph())
    with pytest.raises(TasksFileError):
        await run_until_signal(scheduler, tmp_path / "tasks.toml")
    assert not scheduler.scheduler.running
    assert capsys.readouterr().out == ""


async def test_a_program_that_is_cancelled(capsys):
    """The scheduler is stopped, and the cancellation goes on."""
    scheduler = TaskScheduler(persistent=False, graph=EchoGraph())
    running = asyncio.create_task(run_until_signal(scheduler, banner=None))
    async with asyncio.timeout(PATIENCE):
        await scheduler.scheduler.pass_done.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not scheduler.scheduler.running
    assert capsys.readouterr().out == ""
