"""Runs that block their event loop: a process that is alive keeps them, one that hangs or is suspended does not."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from datetime import timedelta

import pytest
from arena import ROOT, eventually, now, one_time

from scheduler import RunStatus, StoreError

LEASE = 1.5
SHORT_LEASE = 0.3


@pytest.fixture
def start_blocked(arena):
    """Return what starts a process whose only run blocks its loop, and then one that could take the run over."""

    def start(lease):
        arena.add(one_time("blocks", "block", rerun_after_crash=True))
        first = arena.start(lease_seconds=lease, poll_interval=0.1)
        first.wait_for("begin blocks")
        return first, arena.start(lease_seconds=lease, poll_interval=0.1)

    return start


def wait_for_leases(number, lease=LEASE):
    began = now()
    eventually(lambda: now() - began > timedelta(seconds=number * lease), "so many leases have passed")


@contextmanager
def suspended(arena, child):
    """Let a process stand still, but not inside a transaction, in which it would keep all others from writing."""
    child.send(signal.SIGSTOP)
    try:
        while is_locked(arena):
            child.send(signal.SIGCONT)
            child.send(signal.SIGSTOP)
        yield
    finally:
        child.send(signal.SIGCONT)


def is_locked(arena):
    try:
        with arena.face._store.database.write(0.5):
            return False
    except StoreError:
        return True


def test_a_blocked_process_keeps_its_run(arena, start_blocked):
    """For far longer than a lease; the graph is called once, and its outcome is written."""
    first, second = start_blocked(LEASE)
    wait_for_leases(3)
    assert arena.run("blocks").status is RunStatus.RUNNING
    first.wait_for("has not responded")
    arena.unblock()
    run = arena.eventually_status("blocks", RunStatus.SUCCEEDED)
    assert (run.attempt, run.earlier_attempts) == (1, ())
    assert first.count("begin blocks") + second.count("begin blocks") == 1
    first.stop()
    second.stop()
    arena.account()


def test_a_process_that_hangs_gives_its_run_up(arena, start_blocked):
    """After ten leases the other process makes a further attempt; when the first one comes back, its result is void."""
    first, second = start_blocked(SHORT_LEASE)
    first.wait_for("Other processes take over the runs of this one")
    second.wait_for("begin blocks")
    again = arena.run("blocks")
    assert again.attempt == 2
    assert again.earlier_attempts[0].error == "its process gave no sign for longer than its lease"
    arena.unblock()
    first.wait_for("another process's by now")
    assert arena.eventually_status("blocks", RunStatus.SUCCEEDED).attempt == 2
    first.stop()
    second.stop()
    arena.account_for_starts()


def test_a_blocked_process_that_is_suspended_loses_its_run(arena, start_blocked):
    """It makes no beats; when it wakes up, its loop still blocked, it does not win the run back."""
    first, second = start_blocked(SHORT_LEASE)
    with suspended(arena, first):
        second.wait_for("begin blocks")
    wait_for_leases(3, SHORT_LEASE)
    again = arena.run("blocks")
    assert (again.status, again.attempt) == (RunStatus.RUNNING, 2)
    arena.unblock()
    first.wait_for("another process's by now")
    assert arena.eventually_status("blocks", RunStatus.SUCCEEDED).attempt == 2
    first.stop()
    second.stop()
    arena.account_for_starts()


@contextmanager
def program(folder, source):
    """Start a program of its own, whose end its input keeps off."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(source))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, path], env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("ending", ["stopped", "closed"])
def test_a_process_whose_loop_has_ended_without_a_stop_loses_its_runs(arena, ending):
    """It is alive, but nothing runs there any more."""
    arena.add(one_time("left", "slow 100", rerun_after_crash=True))
    where = {name: str(value) for name, value in arena.where.items()}
    source = f"""
        import asyncio, sys
        from scheduler import TaskScheduler
        class Graph:
            async def ainvoke(self, given, config=None):
                begun.set()
                await asyncio.Event().wait()
        begun = asyncio.Event()
        async def main():
            global scheduler
            scheduler = TaskScheduler(graph=Graph(), lease_seconds={SHORT_LEASE}, poll_interval=0.1, **{where!r})
            scheduler.start()
            await begun.wait()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        if {ending == "closed"}:
            loop.close()
        print("ended", flush=True)
        sys.stdin.read()
        """
    with program(arena.folder, source) as process:
        assert process.stdout.readline() == "ended\n"
        other = arena.start(lease_seconds=SHORT_LEASE, poll_interval=0.1)
        other.wait_for("begin left")
        assert process.poll() is None
    run = arena.run("left")
    assert run.attempt == 2
    assert run.earlier_attempts[0].error == "its process gave no sign for longer than its lease"
