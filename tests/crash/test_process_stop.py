"""Stops, from without and from within: nothing is lost, and what was cut off says so."""

import signal

import pytest
from arena import each_second, one_time

from scheduler import RunStatus

STORM = 120


def started_runs(arena):
    return {entry.run_id for entry in arena.ledger() if entry.event == "begin"}


def test_a_signal_in_a_storm_loses_nothing(arena):
    """Started runs may end; other runs wait in the store, and the next process starts them."""
    arena.add(*(one_time(f"once-{number}", "slow 0.02") for number in range(STORM)), each_second("each-second"))
    first = arena.start(max_concurrent_runs=4)
    first.wait_for("begin once", 10)
    first.send(signal.SIGTERM)
    first.wait_for("has drained")
    first.wait_for_end()
    statuses = {run.status for run in arena.runs()}
    assert statuses <= {RunStatus.SUCCEEDED, RunStatus.PENDING, RunStatus.SKIPPED}
    assert len(started_runs(arena)) < STORM, "the signal came too late to matter"
    second = arena.start()
    arena.eventually_over(*(task.id for task in arena.tasks if task.run_at))
    second.stop()
    arena.account()
    once = [run for run in arena.runs() if run.task_id.startswith("once")]
    assert {(run.status, run.attempt) for run in once} == {(RunStatus.SUCCEEDED, 1)}


def test_when_the_grace_is_over(arena):
    """Runs that are still running are cancelled and recorded as interrupted."""
    arena.add(one_time("held", "hold"), one_time("again", "hold", rerun_after_crash=True))
    first = arena.start(shutdown_grace_seconds=0.2)
    first.wait_for("begin", 2)
    first.command("stop")
    first.wait_for("has drained")
    run = arena.run("held")
    assert (run.status, run.error) == (RunStatus.INTERRUPTED, "the scheduler was stopped")
    assert arena.run("again").status is RunStatus.PENDING, "it has a further attempt"
    first.kill()
    second = arena.start()
    second.wait_for("begin again")
    second.command("release")
    assert arena.eventually_status("again", RunStatus.SUCCEEDED).attempt == 2
    second.stop()
    assert arena.run("held") == run
    arena.account()


def test_a_stop_that_nobody_waits_for(arena):
    """The loop ends, so there is no grace period; running runs are interrupted."""
    arena.add(one_time("held", "hold"), one_time("next"))
    child = arena.start()
    child.wait_for("begin held")
    child.command("leave")
    child.wait_for("over")
    child.wait_for_end()
    assert child.count("has drained") == 0
    assert arena.run("held").status is RunStatus.INTERRUPTED
    arena.account()


@pytest.mark.parametrize("number", range(3, 6))
def test_a_stop_between_claim_and_launch(arena, number):
    """What was claimed and is not launched any more returns to the queue, as if it had not been claimed."""
    tasks = [one_time(f"once-{number}") for number in range(12)]
    arena.add(*tasks)
    first = arena.begin(faults={"stop_after": number}, max_concurrent_runs=2, poll_interval=0.2)
    first.wait_for("stopping now")
    first.command("stop")
    first.wait_for("has drained")
    first.wait_for_end()
    assert {run.status for run in arena.runs()} <= {RunStatus.SUCCEEDED, RunStatus.PENDING}
    second = arena.start()
    arena.eventually_over(*(task.id for task in tasks))
    second.stop()
    arena.account()
    assert {(run.status, run.attempt) for run in arena.runs()} == {(RunStatus.SUCCEEDED, 1)}
