"""docs/tutorial.md is followed step by step, in a folder of its own, with its two terminals."""

import asyncio
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from cli_kit import ROOT, end, environment, wait_for, without_changes
from helpers import PATIENCE
from langchain_core.language_models import FakeListChatModel

pytestmark = pytest.mark.skipif(os.name == "nt", reason="its commands are typed into a POSIX shell")

PAGE = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
STEPS = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE, flags=re.MULTILINE | re.DOTALL)
KILL = "^\\Quit"
CHECKPOINTS_BEFORE_REPORT = 3
"""What a run has written when its second node begins: its input, the start, and the end of its first node."""


class Reader:
    """The person who follows the page."""

    def __init__(self, folder):
        self.folder = folder
        self.path = f"{sys.prefix}/bin{os.pathsep}{os.environ['PATH']}"
        self.server = None

    def do(self, title, content):
        if title == "Terminal 1":
            self.watch(content)
        elif title == "Terminal 2":
            self.type(content)
        elif re.fullmatch(r"\w+\.\w+", title):
            (self.folder / title).write_text(content)

    def type(self, block):
        """Type the commands; what the screen shows is what the page shows."""
        screen = ""
        for command in re.findall(r"^\$ (.*)$", block, flags=re.MULTILINE):
            done = subprocess.run(
                command,
                shell=True,
                cwd=self.folder,
                env=environment(PATH=self.path),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                check=False,
            )
            screen += f"$ {command}\n{done.stdout}"
        assert without_changes(screen) == without_changes(block)

    def watch(self, block):
        """Start and kill the scheduler as the page says; each line that the page shows comes, in this order."""
        for line in block.splitlines():
            if line.startswith("$ "):
                self.stop()
                self.start(shlex.split(line.removeprefix("$ ")))
            elif line == KILL:
                self.wait_for_the_second_node()
                self.server.send_signal(signal.SIGQUIT)
                self.server.wait()
            else:
                wait_for(self.server, _pattern(line))

    def start(self, command):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.server = subprocess.Popen(command, cwd=self.folder, env=environment(PATH=self.path), **pipes)

    def stop(self):
        """Press Ctrl+C, if the scheduler runs."""
        if self.server is None:
            return
        if self.server.poll() is None:
            assert end(self.server, signal.SIGINT)[0] == 0
        self.server.stdout.close()

    def kill(self):
        if self.server is not None:
            self.server.kill()
            self.server.wait()
            self.server.stdout.close()

    def wait_for_the_second_node(self):
        """Wait until the newest run has come so far, as its checkpoints show."""
        with closing(sqlite3.connect(self.folder / "scheduler.db")) as store:
            ((run_id,),) = store.execute("SELECT id FROM scheduler_runs ORDER BY id DESC LIMIT 1").fetchall()
        query = "SELECT count(*) FROM checkpoints WHERE CAST(metadata AS TEXT) LIKE ?"
        deadline = time.monotonic() + PATIENCE
        with closing(sqlite3.connect(self.folder / "scheduler.checkpoints.db")) as checkpoints:
            while checkpoints.execute(query, (f"%{run_id}%",)).fetchone()[0] < CHECKPOINTS_BEFORE_REPORT:
                assert time.monotonic() < deadline, "the run did not reach its second node"
                time.sleep(0.02)


def _pattern(line):
    """Return what a line of the page looks like, whatever its times, ids and folders are."""
    words = {"WHEN": r"\S+ \S+", "ID": r"\S+", "…": r".*"}
    escaped = re.escape(without_changes(line)).replace(r"\ ", r"\s+")
    return re.sub("WHEN|ID|…", lambda found: words[found[0]], escaped)


@pytest.fixture
def reader(tmp_path):
    (tmp_path / "my-agent").mkdir()
    reader = Reader(tmp_path / "my-agent")
    yield reader
    reader.kill()


def test_the_tutorial(reader):
    """Each step shows what the page says: output, log, edit, failure and crash; then the page's own program runs."""
    for title, content in STEPS:
        reader.do(title, content)
    reader.stop()
    reader.start([f"{sys.prefix}/bin/python", "-u", "main.py"])
    wait_for(reader.server, "Next run: ")
    reader.server.send_signal(signal.SIGINT)
    reader.server.wait()


def test_the_step_with_a_real_model(tmp_path, monkeypatch):
    """With `report` as the page rewrites it, the model gets the prompt and the list, and its answer is the result."""
    prompts = []

    class Model(FakeListChatModel):
        async def ainvoke(self, prompt, *arguments, **options):
            prompts.append(prompt)
            return await super().ainvoke(prompt, *arguments, **options)

    monkeypatch.setattr("langchain.chat_models.init_chat_model", lambda _name: Model(responses=["Water them."]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "todo.txt").write_text("Water the plants\n")
    parts = dict(STEPS)
    before, rest = parts["graph.py"].split("async def report", maxsplit=1)
    names = {}
    exec(before + parts["graph.py, report"] + "builder = " + rest.split("builder = ", maxsplit=1)[1], names)
    result = asyncio.run(names["graph"].ainvoke({"messages": [("user", "What is on today?")]}))
    assert result["messages"][-1].text == "Water them."
    assert prompts == ["What is on today?\n\nThe to-do list:\nWater the plants\n"]
