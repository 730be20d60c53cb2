"""Runs that are cancelled, repeated and backfilled while the processes that run them are killed."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from arena import eventually, one_time, seconds_from_now

from scheduler import RunStatus, TaskDefinition, TaskScheduler

OFTEN = {"poll_interval": 0.1}
CHANGING = """
import sys
from pathlib import Path
from scheduler import TaskScheduler

url = sys.argv[1]
face = TaskScheduler(db_url=url) if "://" in url else TaskScheduler(db_path=Path(url))
while True:
    print(len(face.pause_tasks(tag="all")), flush=True)
    print(len(face.resume_tasks(tag="all")), flush=True)
"""


def later(task_id, prompt):
    """Return a task that is not due during the test."""
    return one_time(task_id, prompt, at=seconds_from_now(3600))


def test_a_kill_between_a_cancel_and_its_effect(arena):
    """The loop of the owner stands still, so that it cannot obey; when it is killed, nobody continues the run."""
    arena.add(later("t", "block").model_copy(update={"rerun_after_crash": True}))
    child = arena.start(**OFTEN)
    run_id = arena.face.trigger_task("t")
    child.wait_for("begin t")
    arena.face.cancel_run(run_id, "wrong prompt")
    child.kill()
    other = arena.start(**OFTEN)
    eventually(lambda: arena.face.get_run(run_id).status is RunStatus.CANCELLED, "the run is cancelled")
    assert arena.face.get_run(run_id).error == "wrong prompt"
    other.stop()
    assert [entry.event for entry in arena.ledger()] == ["begin"]


def test_a_cancel_from_another_process(arena):
    """The owner cancels the run, and the graph hears of it once, however many ask for it."""
    arena.add(later("t", "hold"))
    child = arena.start(**OFTEN)
    run_id = arena.face.trigger_task("t")
    child.wait_for("begin t")
    other = TaskScheduler(graph=None, **arena.where)
    asking = [threading.Thread(target=each.cancel_run, args=[run_id]) for each in (arena.face, other)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    child.wait_for("cancelled t")
    eventually(lambda: arena.face.get_run(run_id).status is RunStatus.CANCELLED, "the run is cancelled")
    repeated = []

    def repeat(scheduler):
        try:
            repeated.append(scheduler.retry_run(run_id))
        except ValueError as error:
            assert "repeats it already" in str(error)  # noqa: PT017 (in a thread)

    asking = [threading.Thread(target=repeat, args=[each]) for each in (arena.face, other)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    other.stop()
    assert len(repeated) == 1
    child.wait_for(f"begin t {repeated[0]}")
    child.command("release")
    child.stop()
    assert [entry.event for entry in arena.ledger()].count("begin") == 2


def test_a_kill_in_a_backfill(arena):
    """No due time of it starts twice, and each has its run in the end."""
    now = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    task = TaskDefinition(id="t", name="T", prompt="slow 0.02", task_type="cron", cron_expression="0 0 * * *")
    arena.face.add_task(task)
    due = arena.face.backfill_task("t", now - timedelta(days=20), now - timedelta(days=1), max_concurrent=3)
    first = arena.start(**OFTEN)
    first.wait_for("end t", 3)
    first.kill()
    second = arena.start(**OFTEN)
    eventually(lambda: all(run.finished_at for run in arena.runs("t")), "all runs are over")
    second.stop()
    starts = Counter(entry.scheduled_at for entry in arena.ledger() if entry.event == "begin")
    assert max(starts.values()) == 1
    assert sorted(run.scheduled_at for run in arena.runs("t")) == due
    assert Counter(run.status for run in arena.runs("t"))[RunStatus.SUCCEEDED] >= len(due) - 3


def each_second(number):
    """Return tasks that fire all the time."""
    return TaskDefinition(
        id=f"t{number:03}", name="T", prompt="go", task_type="interval", interval_seconds=1, tags=["all"]
    )


def test_all_tasks_of_a_tag_are_paused_while_they_fire(arena):
    """From then on none starts, in whichever process; those that had started end."""
    arena.face.add_tasks([each_second(number) for number in range(200)])
    children = [arena.start(**OFTEN), arena.start(**OFTEN)]
    for child in children:
        child.wait_for("end t")
    assert len(arena.face.pause_tasks(tag="all", note="stop")) == 200
    paused = arena.face.now()
    eventually(lambda: not arena.face.list_runs(status="running"), "what had started is over")
    time.sleep(1.5)  # longer than the interval: what could still fire would
    assert [run for run in arena.face.list_runs(limit=1_000) if run.scheduled_at > paused] == []
    for child in children:
        child.stop()
    starts = Counter((entry.task_id, entry.scheduled_at) for entry in arena.ledger() if entry.event == "begin")
    assert max(starts.values()) == 1


def test_a_kill_in_a_change_of_all_tasks_of_a_tag(arena):
    """All of them are paused, or none."""
    arena.face.add_tasks([each_second(number) for number in range(1_000)])
    place = str(arena.where.get("db_url") or arena.where["db_path"])
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", CHANGING, place], stdout=subprocess.PIPE, text=True) as child:
            child.stdout.readline()
            time.sleep(random.uniform(0, 0.2))
            child.kill()
        paused = sum(view.pause_reason is not None or view.state == "paused" for view in arena.face.task_views())
        assert paused in {0, 1_000}
