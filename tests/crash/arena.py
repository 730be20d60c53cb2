"""Children: real processes on one store, which tests kill, suspend, and look at from outside."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from accounting import account, account_for_starts, read_ledger
from child import UNBLOCK

from scheduler import RunStatus, TaskDefinition, TaskScheduler, TaskType
from scheduler.errors import InvalidTaskError
from scheduler.models import OPEN_STATUSES

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PATIENCE = 20
"""So many seconds a test waits for what must come; it decides nothing but when a test that hangs is ended."""
_GLANCE = 0.02


def eventually(condition, what, within=PATIENCE):
    """Return what a condition on the store gives once it is true.

    Another process makes it true and there is nothing to wait for in this one, so this is the one place of these
    tests that looks again and again.
    """
    deadline = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"after {within} s it is not so: {what}")
        pause(_GLANCE)
    return found


def pause(seconds):
    """Let other processes run for a while, so that a fault happens at a random moment."""
    threading.Event().wait(seconds)


class Child:
    """A child as its parent sees it: the lines that it has written, and its end."""

    def __init__(self, pid, output, commands):
        self.pid = pid
        self.lines = []
        self._commands = commands
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, args=[os.fdopen(output)], daemon=True)
        self._reader.start()

    @property
    def ended(self):
        """Whether the process is gone."""
        return self._ended

    def _read(self, output):
        with output:
            for line in output:
                with self._news:
                    self.lines.append(line.rstrip())
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def count(self, text):
        """Return how many lines so far hold the text."""
        return sum(text in line for line in self.lines)

    def wait_for(self, text, times=1):
        """Return the last of the first so many lines that hold the text, once they have come."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self.count(text) >= times, PATIENCE)
            found = [line for line in self.lines if text in line]
        if len(found) < times:
            pytest.fail(f"{text!r} did not come {times} times:\n" + "\n".join(self.lines))
        return found[times - 1]

    def wait_for_end(self):
        """Wait until the process is gone."""
        self._reader.join(PATIENCE)
        if self._reader.is_alive():
            pytest.fail("the process does not end:\n" + "\n".join(self.lines))
        return self

    def send(self, number):
        """Send a signal to the process."""
        if not self._ended:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self):
        self.send(signal.SIGKILL)
        return self.wait_for_end()

    def command(self, text):
        with suppress(BrokenPipeError):
            os.write(self._commands, f"{text}\n".encode())

    def turns(self):
        """Return how often the loop of the process has turned."""
        before = self.count("turns")
        self.command("turns")
        return int(self.wait_for("turns", before + 1).split()[1])

    def stop(self):
        """Let the process stop its scheduler and end."""
        self.command("stop")
        self.wait_for("has drained")
        return self.wait_for_end()

    def end(self):
        self.send(signal.SIGCONT)
        self.kill()
        os.close(self._commands)


class Nursery:
    """The process that has imported everything and forks children."""

    def __init__(self):
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, str(HERE / "child.py"), "nursery", str(theirs.fileno())]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)

    def fork(self, spec):
        output, their_output = os.pipe()
        their_input, commands = os.pipe()
        socket.send_fds(self._control, [json.dumps(spec).encode()], [their_output, their_input])
        os.close(their_output)
        os.close(their_input)
        return Child(int(self._control.recv(64)), output, commands)

    def end(self):
        self._control.close()
        self._process.wait()


class Arena:
    """One store, the ledger of what its graphs did, and the processes that use both."""

    def __init__(self, nursery, folder, where):
        self.folder = folder
        self.where = where
        self.ledger_path = folder / "ledger"
        self.tasks = []
        self.first_due = {}
        self._nursery = nursery
        self._children = []
        self._programs = []
        self._face = None

    @property
    def face(self):
        """A scheduler of this process, which is never started: it changes the store and reads it."""
        if self._face is None:
            self._face = TaskScheduler(graph=None, history_limit=1_000_000, **self.where)
        return self._face

    def _spec(self, options, faults, add, *, langgraph):
        options = {"history_limit": 1_000_000, **self.where, **options}
        return {
            "options": {name: str(value) if isinstance(value, Path) else value for name, value in options.items()},
            "ledger": str(self.ledger_path),
            "faults": faults or {},
            "langgraph": langgraph,
            "add": [task.model_dump_json(exclude_defaults=True) for task in add],
        }

    def begin(self, *, faults=None, add=(), langgraph=False, **options):
        """Start a child; return it at once."""
        child = self._nursery.fork(self._spec(options, faults, add, langgraph=langgraph))
        self._children.append(child)
        return child

    def start(self, **options):
        """Start a child; return it when its scheduler has started."""
        child = self.begin(**options)
        child.wait_for("started")
        return child

    def start_program(self, *, langgraph=False, **options):
        """Start a child as an ordinary program, whose end nobody waits for: killed, it stays a zombie."""
        spec = json.dumps(self._spec(options, None, (), langgraph=langgraph))
        process = subprocess.Popen(
            [sys.executable, str(HERE / "child.py"), spec],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._programs.append(process)
        child = Child(process.pid, os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))
        self._children.append(child)
        child.wait_for("started")
        return child

    def unblock(self):
        """End what blocks the loops of children."""
        (self.folder / UNBLOCK).touch()

    # --- The store, seen from outside ---

    def add(self, *tasks):
        """Add tasks, and note their first due times for the accounts."""
        added = self._add_soon(tasks)
        self.tasks += added
        self.first_due.update({task.id: task.run_at for task in added if task.run_at})
        self.first_due.update(self._due_times({task.id for task in added if not task.run_at}))

    def _add_soon(self, tasks):
        """Add tasks; those that are due at `SOON` come due a moment later, all at one instant."""
        face = self.face
        for moment in (0.05, 0.5, 5):
            run_at = seconds_from_now(moment)
            added = [task.model_copy(update={"run_at": run_at}) if task.run_at == SOON else task for task in tasks]
            with suppress(InvalidTaskError):  # it took us longer than that
                face.add_tasks(added)
                return added
        raise TimeoutError

    def _due_times(self, ids):
        listed = [each for each in self.face.list_tasks() if each["id"] in ids]
        return {each["id"]: datetime.fromisoformat(each["next_run"]) for each in listed if each["next_run"][0] == "2"}

    def runs(self, task_id=None, status=None):
        return self.face.list_runs(task_id, status=status, limit=1_000_000)

    def run(self, task_id):
        """Return the only run of a task."""
        (run,) = self.runs(task_id)
        return run

    def ledger(self):
        return read_ledger(self.ledger_path)

    def eventually_over(self, *task_ids):
        """Wait until each of the tasks has a run, and none that is open."""

        def over():
            runs = [run for task_id in task_ids for run in self.runs(task_id)]
            has_run = {run.task_id for run in runs if run.status not in OPEN_STATUSES}
            return has_run == set(task_ids) and not any(run.status in OPEN_STATUSES for run in runs)

        eventually(over, f"the runs of {', '.join(task_ids[:5])} are over")

    def eventually_status(self, task_id, status, **options):
        """Wait until the only run of a task has a status; return the run."""
        eventually(lambda: [run.status for run in self.runs(task_id)] == [status], f"{task_id} is {status}", **options)
        return self.run(task_id)

    def account(self):
        """Assert that no due time is lost and none was started twice; every process must have ended."""
        runs = self.runs()
        account(self.tasks, self.first_due, self._due_times({task.id for task in self.tasks}), runs, self.ledger())
        assert not [run for run in runs if run.status is RunStatus.RUNNING], "a run has no end"

    def account_for_starts(self):
        account_for_starts(self.runs(), self.ledger())

    def end(self):
        for child in self._children:
            child.end()
        for process in self._programs:
            process.wait()
            process.stdin.close()
            process.stdout.close()
        if self._face is not None:
            self._face.stop()


# --- Tasks; the prompt says what the child's graph does ---


def now():
    return datetime.now(UTC)


def seconds_from_now(seconds):
    return now() + timedelta(seconds=seconds)


SOON = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for a moment after `Arena.add`."""


def one_time(task_id, prompt="quick", *, at=SOON, **fields):
    """Return a task that is due in a moment, or at an instant."""
    return TaskDefinition(id=task_id, name=task_id, task_type=TaskType.ONE_TIME, run_at=at, prompt=prompt, **fields)


def each_second(task_id, prompt="quick", **fields):
    """Return a task that is due each second, counted from an instant long ago."""
    anchor = seconds_from_now(0.05) - timedelta(days=1)
    fields = {"interval_seconds": 1, "start_at": anchor, "prompt": prompt, **fields}
    return TaskDefinition(id=task_id, name=task_id, task_type=TaskType.INTERVAL, **fields)


def each_minute(task_id, prompt="quick", **fields):
    """Return a cron task."""
    fields = {"cron_expression": "* * * * *", "prompt": prompt, **fields}
    return TaskDefinition(id=task_id, name=task_id, task_type=TaskType.CRON, **fields)
