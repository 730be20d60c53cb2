"""Runs whose process was killed or suspended: they are seen, taken over, and never written over."""

import signal
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from arena import eventually, now, one_time

from scheduler import RunStatus

SEEN_WITHIN = timedelta(seconds=2)
"""So soon another process sees the death of one on the same machine."""
LEASE = 1.5
DAY = 86_400


def test_a_killed_run_is_interrupted_at_the_next_start(arena):
    """Promise 4: whoever starts next finds the run, without waiting for its lease."""
    arena.add(one_time("held", "hold"))
    child = arena.start()
    child.wait_for("begin held")
    child.kill()
    assert arena.run("held").status is RunStatus.RUNNING, "nobody has seen it yet"
    second = arena.start()
    run = arena.eventually_status("held", RunStatus.INTERRUPTED)
    assert run.error == "its process died"
    assert run.finished_at is not None
    second.stop()
    assert second.count("was interrupted: its process is gone") == 1
    arena.account()


def test_a_death_is_seen_by_another_process_that_runs(arena):
    """Within two seconds, with the settings that a program has by default."""
    arena.add(one_time("held", "hold"), one_time("again", "hold", rerun_after_crash=True))
    child = arena.start()
    child.wait_for("begin", 2)
    other = arena.start()
    killed_at = now()
    child.kill()
    run = arena.eventually_status("held", RunStatus.INTERRUPTED)
    assert run.finished_at - killed_at < SEEN_WITHIN
    other.wait_for("begin again")
    other.command("release")
    run = arena.eventually_status("again", RunStatus.SUCCEEDED)
    assert run.attempt == 2
    assert [(each.number, each.status, each.error) for each in run.earlier_attempts] == [
        (1, RunStatus.INTERRUPTED, "its process died")
    ]
    other.stop()
    arena.account()


def test_killed_processes_leave_nothing_behind_for_ever(on_sqlite):
    """An owner without runs, which nobody has to recover, is forgotten a day later."""
    arena = on_sqlite

    def owners():
        with closing(sqlite3.connect(arena.where["db_path"])) as connection:
            return connection.execute("SELECT count(*) FROM scheduler_owners").fetchone()[0]

    for _ in range(3):
        arena.start().kill()
    child = arena.start(poll_interval=0.2)
    assert owners() == 4
    child.command(f"step {2 * DAY}")
    eventually(lambda: owners() == 1, "the living one is left")
    child.stop()
    assert owners() == 0


def test_a_zombie_is_dead(on_sqlite):
    """A killed program whose parent does not look after it counts as dead, though its process id is still there."""
    on_sqlite.add(one_time("again", "hold", rerun_after_crash=True))
    program = on_sqlite.start_program(langgraph=True)
    program.wait_for("begin again")
    program.kill()
    other = on_sqlite.start(langgraph=True)
    other.wait_for("begin again")
    other.command("release")
    assert on_sqlite.eventually_status("again", RunStatus.SUCCEEDED).attempt == 2
    other.stop()
    on_sqlite.account()


def suspend(child):
    """Let a process stand still, as at a laptop's sleep."""
    child.send(signal.SIGSTOP)


def resume(child):
    child.send(signal.SIGCONT)


def test_a_suspended_process_loses_its_run_and_notices(arena):
    """When the lease has ended another process takes the run over; the first one cancels what it has going."""
    arena.add(one_time("lost", "hold"), one_time("again", "hold", rerun_after_crash=True))
    first = arena.start(lease_seconds=LEASE, poll_interval=0.2)
    first.wait_for("begin", 2)
    suspend(first)
    second = arena.start(lease_seconds=LEASE, poll_interval=0.2)
    run = arena.eventually_status("lost", RunStatus.INTERRUPTED)
    assert run.error == "its process gave no sign for longer than its lease"
    second.wait_for("begin again")
    resume(first)
    first.wait_for("was taken over by another process", 2)
    first.wait_for("cancelled", 2)
    second.command("release")
    after = arena.eventually_status("again", RunStatus.SUCCEEDED)
    first.stop()
    second.stop()
    assert arena.run("lost") == run
    assert arena.run("again") == after
    assert after.attempt == 2
    arena.account()


def test_an_outcome_that_comes_too_late_is_not_written(arena):
    """A run that ends in the very moment in which its process comes back does not touch the newer attempt."""
    arena.add(one_time("lost", "hold"), one_time("again", "hold", rerun_after_crash=True))
    first = arena.start(lease_seconds=LEASE, poll_interval=0.2)
    first.wait_for("begin", 2)
    suspend(first)
    first.command("release")
    second = arena.start(lease_seconds=LEASE, poll_interval=0.2)
    lost = arena.eventually_status("lost", RunStatus.INTERRUPTED)
    second.wait_for("begin again")
    resume(first)
    first.wait_for("end", 2)
    first.wait_for("it is another process's by now", 2)
    assert arena.run("lost") == lost
    assert arena.run("again").status is RunStatus.RUNNING
    second.command("release")
    assert arena.eventually_status("again", RunStatus.SUCCEEDED).attempt == 2
    first.stop()
    second.stop()
    arena.account()


@pytest.mark.parametrize("script", ["hold", "stubborn"])
def test_a_process_may_take_its_own_run_up_again(arena, script):
    """A further attempt that falls to the process that lost the first one begins when that one has ended."""
    arena.add(one_time("again", script, rerun_after_crash=True))
    first = arena.start(lease_seconds=LEASE, poll_interval=0.2)
    first.wait_for("begin again")
    suspend(first)
    second = arena.start(lease_seconds=LEASE, poll_interval=0.2, max_concurrent_runs=1)
    arena.add(one_time("in-the-way", "hold"))
    second.wait_for("begin in-the-way")
    arena.eventually_status("again", RunStatus.PENDING)
    resume(first)
    first.wait_for("was taken over")
    if script == "hold":
        first.wait_for("cancelled again")
        first.wait_for("begin again", 2)
    first.command("release")
    run = arena.eventually_status("again", RunStatus.SUCCEEDED)
    assert run.attempt == 2
    assert [line.split()[0] for line in first.lines if " again" in line and not line.startswith("log")] == (
        ["begin", "cancelled", "begin", "end"] if script == "hold" else ["begin", "end", "begin", "end"]
    )
    first.stop()
    second.command("release")
    second.stop()
    arena.account_for_starts()


def test_nobody_is_declared_dead_while_all_were_suspended(arena):
    """After the sleep of the whole machine each process renews its lease before others judge it by its lease."""
    arena.add(one_time("first", "hold"))
    first = arena.start(lease_seconds=LEASE, poll_interval=0.2)
    first.wait_for("begin first")
    arena.add(one_time("second", "hold"))
    second = arena.start(lease_seconds=LEASE, poll_interval=0.2)
    eventually(lambda: first.count("begin second") or second.count("begin second"), "the second task runs")
    asleep_at = now()
    suspend(first)
    suspend(second)
    eventually(lambda: now() - asleep_at > timedelta(seconds=1.2 * LEASE), "the leases have ended")
    for child in (second, first):
        resume(child)
        assert child.turns(), "it continues before the next one does"
    for child in (first, second):
        child.command("release")
    arena.eventually_over("first", "second")
    first.stop()
    second.stop()
    assert [run.status for run in arena.runs()] == [RunStatus.SUCCEEDED] * 2
    arena.account()
