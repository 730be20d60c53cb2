"""Several processes on one store: each due time starts once in total, and what one changes the others notice."""

from collections import Counter

import pytest
from arena import each_second, eventually, one_time, seconds_from_now

from scheduler import OverlapPolicy, RunStatus, TaskNotFoundError

OFTEN = {"poll_interval": 0.2}
STORM = 300


def test_a_storm_over_three_processes(arena):
    """Hundreds of tasks that are due at one instant start once each, whoever takes them."""
    children = [arena.start(**OFTEN) for _ in range(3)]
    once = [one_time(f"once-{number}") for number in range(STORM)]
    recurring = [each_second(f"each-second-{number}", max_runs=2) for number in range(5)]
    arena.add(*once, *recurring)
    arena.eventually_over(*(task.id for task in arena.tasks))
    eventually(lambda: not arena.face.list_tasks(), "all tasks are finished")
    for child in children:
        child.stop()
    arena.account()
    starts = Counter((entry.task_id, entry.scheduled_at) for entry in arena.ledger() if entry.event == "begin")
    assert len(starts) == STORM + 5 * 2
    assert set(starts.values()) == {1}
    assert {run.status for run in arena.runs()} == {RunStatus.SUCCEEDED}


def test_overlap_is_seen_across_processes(arena):
    """While a run is running in one process, no other process starts its task; the store shows what is skipped."""
    policies = [OverlapPolicy.SKIP, OverlapPolicy.BUFFER_ONE, OverlapPolicy.CANCEL_OTHER]
    arena.add(*(each_second(policy.value, "hold", overlap=policy) for policy in policies))
    children = [arena.start(**OFTEN) for _ in range(3)]
    eventually(
        lambda: (
            arena.runs("skip", RunStatus.SKIPPED)
            and arena.runs("buffer_one", RunStatus.SKIPPED)
            and len(arena.runs("cancel_other", RunStatus.CANCELLED)) > 1
        ),
        "each policy has met an overlap",
    )
    for policy in policies:
        assert len(arena.runs(policy.value, RunStatus.RUNNING)) <= 1
    assert len(arena.runs("buffer_one", RunStatus.PENDING)) == 1
    for policy in policies:
        arena.face.pause_task(policy.value)
    for child in children:
        child.command("release")
    eventually(lambda: not arena.runs(status=RunStatus.RUNNING) and not arena.runs(status=RunStatus.PENDING), "all end")
    for child in children:
        child.stop()
    inside = Counter()
    for entry in arena.ledger():
        inside[entry.task_id] += 1 if entry.event == "begin" else -1
        assert inside[entry.task_id] <= 1, f"{entry.task_id} ran beside itself"
    arena.account_for_starts()
    assert all(run.error for run in arena.runs(status=RunStatus.SKIPPED))


def test_changes_by_a_process_that_does_not_run(arena):
    """Add, trigger, pause, resume and remove work on a store whose scheduler runs elsewhere, which soon notices."""
    child = arena.start(poll_interval=0.5)
    arena.add(each_second("t"))
    child.wait_for("end t")
    arena.face.pause_task("t")
    assert arena.face.list_tasks()[0]["next_run"] == "paused"
    run_id = arena.face.trigger_task("t")
    child.wait_for(f"end t {run_id}")
    eventually(lambda: arena.runs("t")[0].status is RunStatus.SUCCEEDED, "the triggered run is over")
    while_paused = arena.runs("t")
    assert while_paused[0].id == run_id
    arena.add(one_time("later"))
    child.wait_for("end later")
    arena.add(one_time("much-later", at=seconds_from_now(1.1)))
    child.wait_for("end much-later")
    assert arena.runs("t") == while_paused, "a second and more has passed"
    ends = child.count("end t")
    arena.face.resume_task("t")
    child.wait_for("end t", ends + 1)
    arena.face.remove_task("t")
    eventually(lambda: not arena.runs("t", RunStatus.RUNNING), "no run is running")
    removed = arena.runs("t")
    arena.add(one_time("at-last", at=seconds_from_now(1.1)))
    child.wait_for("end at-last")
    assert arena.runs("t") == removed
    child.stop()
    arena.account_for_starts()


@pytest.mark.parametrize("ending", ["it ends", "its process is killed"])
def test_a_task_that_is_removed_while_it_runs_elsewhere(arena, ending):
    """Its run ends as it would have, or is interrupted for good; what waits is cancelled; the history stays."""
    arena.add(each_second("gone", "hold", rerun_after_crash=True))
    child = arena.start(**OFTEN)
    child.wait_for("begin gone")
    waiting = arena.face.trigger_task("gone")
    assert [run.id for run in arena.runs("gone", RunStatus.PENDING)] == [waiting]
    arena.face.remove_task("gone")
    with pytest.raises(TaskNotFoundError):
        arena.face.get_task("gone")
    assert not arena.runs("gone", RunStatus.PENDING)
    if ending == "it ends":
        child.command("release")
        expected = RunStatus.SUCCEEDED
    else:
        child.kill()
        expected = RunStatus.INTERRUPTED
    other = arena.start(**OFTEN)
    eventually(lambda: arena.runs("gone", expected), f"its run has {expected}")
    assert {run.status for run in arena.runs("gone")} <= {expected, RunStatus.CANCELLED, RunStatus.SKIPPED}
    assert arena.face.list_tasks() == []
    other.stop()
    arena.account_for_starts()


def test_ten_processes_begin_at_once_on_nothing(arena):
    """The first process creates the tables, and all ten use them."""
    tasks = [one_time(f"once-{number}", at=seconds_from_now(60)) for number in range(10)]
    children = [arena.begin(add=[task], **OFTEN) for task in tasks]
    for child in children:
        child.wait_for("started")
    assert {each["id"] for each in arena.face.list_tasks()} == {task.id for task in tasks}
    arena.add(*(one_time(f"now-{number}") for number in range(20)))
    arena.eventually_over(*(task.id for task in arena.tasks))
    for child in children:
        child.stop()
        assert not [line for line in child.lines if line.startswith("log") and not _is_busy(line)], child.lines
    arena.account()


def _is_busy(line):
    """Whether it only says that a pass found the store locked for its second, as on a machine with much to do."""
    return "nothing was stored: try again" in line or "The store can be used again" in line
