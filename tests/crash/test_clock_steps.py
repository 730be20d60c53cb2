"""The wall clock is stepped while processes run: no due time starts twice, and no task goes silent."""

from datetime import timedelta

import pytest
from arena import each_minute, each_second, now, one_time

from scheduler import OverlapPolicy, RunStatus

HOUR = 3600


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_step_of_the_clock(arena, step):
    """Recurring tasks continue at once; a step back repeats no due time that has had its run."""
    arena.add(
        each_second("anchored"),
        each_second("unanchored", start_at=None),
        each_second("one-by-one", coalesce=False, misfire_grace_seconds=1),
        each_second("overlapping", "slow 0.9"),
        each_minute("cron"),
        one_time("before"),
        one_time("after", at=now() + timedelta(minutes=30)),
    )
    child = arena.start(poll_interval=0.3)
    for task_id in ("anchored", "unanchored", "one-by-one", "overlapping"):
        child.wait_for(f"end {task_id}")
    ends = {task_id: child.count(f"end {task_id}") for task_id in ("anchored", "unanchored", "one-by-one")}
    child.command(f"step {step}")
    child.wait_for("stepped")
    for task_id, number in ends.items():
        child.wait_for(f"end {task_id}", number + 1)
    if step == HOUR:
        child.wait_for("end after")
        child.wait_for("end cron")
    child.stop()
    assert not child.count("log ERROR"), child.lines
    runs = arena.runs()
    due_times = [(run.task_id, run.scheduled_at) for run in runs]
    assert len(set(due_times)) == len(due_times)
    assert [run.status for run in arena.runs("before")] == [RunStatus.SUCCEEDED]
    assert len(arena.runs("after")) == (step == HOUR)
    arena.account_for_starts()
    if step > 0:
        arena.account()


@pytest.mark.parametrize(
    ("database", "policy"), [("sqlite", OverlapPolicy.SKIP), ("postgres", OverlapPolicy.BUFFER_ONE)]
)
def test_a_step_back_behind_a_run_that_is_going(request, database, policy):
    """Due times that have a row come again: they are ignored, and stop no other task."""
    arena = request.getfixturevalue(f"on_{database}")
    arena.add(each_second("held", "hold", overlap=policy), each_second("quick"))
    child = arena.start(poll_interval=0.3, shutdown_grace_seconds=0)
    child.wait_for("end quick", 2)
    child.command("step -2")
    child.wait_for("stepped")
    child.wait_for("end quick", 3)
    child.stop()
    assert not child.count("log ERROR"), child.lines
    runs = [run for run in arena.runs() if run.status is not RunStatus.SKIPPED]
    assert len({(run.task_id, run.scheduled_at) for run in runs}) == len(runs)
    arena.account_for_starts()
