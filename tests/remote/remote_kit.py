"""A LangGraph server of the tests' own, the gate that its graph's steps pass, and a scheduler in another process."""

import importlib.util
import os
import queue
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from helpers import PATIENCE, free_port, hourly, wait_until

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MISSING = "langgraph-cli[inmem] is not installed; pip install -e '.[remote-test]'"


def needs_server():
    """Leave a module of tests out, and say why, where there is no server to start."""
    if importlib.util.find_spec("langgraph_api") is None:
        pytest.skip(MISSING, allow_module_level=True)


class Gate:
    """The server that steps ask whether to continue; it records which steps started, and which were cancelled."""

    def __init__(self):
        self._lock = threading.Lock()
        self.reset()
        gate = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                gate._pass(self.rfile.readline().decode().split(maxsplit=1), self.connection)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def reset(self):
        """Forget, and let everything pass."""
        self.began, self.prompts, self.failures, self._held = [], [], {}, {}
        self._news = queue.SimpleQueue()

    def hold(self, *steps):
        """Let these steps wait until they are opened."""
        self._held = dict.fromkeys(steps)

    def open(self, step):
        """Let a waiting step continue, now and each later time."""
        with self._lock:
            waiting = self._held.pop(step)
        waiting.sendall(b"go\n")

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, news):
        """Return when `b` has started, or was cancelled (`b cancelled`)."""
        deadline = time.monotonic() + PATIENCE * 2
        while self._news.get(timeout=max(0, deadline - time.monotonic())) != news:
            pass

    def _pass(self, line, connection):
        step, prompt = line[0], line[1].strip()
        with self._lock:
            self.began.append(step)
            self.prompts.append(prompt)
            is_held = step in self._held
            if is_held:
                self._held[step] = connection
        self._news.put(step)
        if is_held:
            self._wait_for_end(step, connection)
        else:
            connection.sendall(b"fail\n" if self._fails(step) else b"go\n")

    def _wait_for_end(self, step, connection):
        with suppress(OSError):
            connection.recv(1)  # the other side sends nothing more: it returns when that side has closed
        if self._held.get(step) is connection:
            self._held[step] = None
            self._news.put(f"{step} cancelled")

    def _fails(self, step):
        left = self.failures.get(step, 0)
        self.failures[step] = left - 1
        return left > 0


class GraphServer:
    """`langgraph dev` on a port of loopback, offline."""

    def __init__(self, folder, gate, port=None):
        self.folder = folder / "project"
        shutil.copytree(HERE / "project", self.folder, dirs_exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.graph = f"langgraph+{self.url}/steps"
        self._environment = {
            **os.environ,
            "GATE_PORT": str(gate.port),
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
            "LANGSMITH_TRACING": "false",
        }
        self.start()

    def start(self):
        command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
        with (self.folder.parent / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port), "--n-jobs-per-worker", "10"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready()

    def _wait_until_ready(self):
        """Ask until it answers: it tells nobody when it is ready."""
        deadline = time.monotonic() + PATIENCE * 3
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/ok", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        self.kill()
        pytest.fail((self.folder.parent / "server.log").read_text())

    def kill(self):
        """Kill it, and whatever it has started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def process(store, graph, **options):
    """Run a scheduler in a process of its own; it is killed at the end."""
    child = subprocess.Popen(
        [sys.executable, str(HERE / "remote_child.py"), store, graph, repr(options)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "started\n"
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def begin(scheduler, **fields):
    """Add a task, in a session of its own if nothing else is said, and run it now; return the run's id."""
    task = hourly(**{"session_id": uuid.uuid4().hex, **fields})
    scheduler.add_task(task)
    return scheduler.trigger_task(task.id)


async def over(scheduler, run_id):
    """Return a run once it is over."""
    await wait_until(lambda: scheduler.get_run(run_id).finished_at is not None, scheduler)
    return scheduler.get_run(run_id)
