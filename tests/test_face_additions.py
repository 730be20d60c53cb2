"""What the command line asks of the face: one run, runs since an instant, schedulers that run, tasks from a source."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from helpers import hourly, one_time, rows, soon, wait_for_runs, wait_until

from scheduler import RunNotFoundError, SchedulerError, TaskChanges, TaskNotFoundError, TaskScheduler
from scheduler.errors import InvalidTaskError

FILE = "tasks.toml"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def face(new_scheduler):
    """A scheduler that is not started."""
    return new_scheduler()


def ids(face):
    return {task["id"] for task in face.list_tasks()}


# --- Runs ---


async def test_a_run_is_found_by_its_id(face):
    """As it stands in the list."""
    face.add_task(hourly("first"))
    run_id = face.trigger_task("first")
    face.trigger_task("first")
    run = face.get_run(run_id)
    assert run.id == run_id
    assert run in face.list_runs()


async def test_a_run_that_is_not_there(face):
    """The error is the package's own and a KeyError, and names the id."""
    with pytest.raises(RunNotFoundError, match=r"Run 'nobody' does not exist; .*list_runs") as caught:
        face.get_run("nobody")
    assert caught.value.run_id == "nobody"
    assert isinstance(caught.value, SchedulerError)
    assert isinstance(caught.value, KeyError)


async def test_runs_since_an_instant(face):
    """That instant included; it goes together with the other conditions."""
    face.add_tasks([hourly("first"), hourly("second")])
    early, late, other = (face.trigger_task(task_id) for task_id in ("first", "first", "second"))
    since = face.get_run(late).scheduled_at
    assert [run.id for run in face.list_runs(since=since)] == [other, late]
    assert [run.id for run in face.list_runs("first", since=since)] == [late]
    assert [run.id for run in face.list_runs(since=LONG_AGO)] == [other, late, early]
    assert face.list_runs(since=since + timedelta(days=1)) == []
    assert face.list_runs(status="running", since=since) == []


async def test_since_needs_a_time_zone(face):
    """A naive datetime would be a guess."""
    with pytest.raises(ValueError, match=r"since=2020-01-01T00:00:00 has no time zone; give an aware datetime"):
        face.list_runs(since=datetime(2020, 1, 1))  # noqa: DTZ001


# --- Schedulers that run ---


async def test_schedulers_that_run_are_counted(new_scheduler):
    """From any of them, started or not; one that has stopped counts no more."""
    onlooker, first, second = new_scheduler(), new_scheduler(), new_scheduler()
    assert onlooker.running_schedulers() == 0
    first.start()
    second.start()
    assert onlooker.running_schedulers() == first.running_schedulers() == 2
    await first.stop()
    assert onlooker.running_schedulers() == second.running_schedulers() == 1


async def test_an_idle_scheduler_goes_on_counting(new_scheduler):
    """Its lease is renewed though nothing runs."""
    onlooker, idle = new_scheduler(), new_scheduler(lease_seconds=0.3, poll_interval=0.05)
    idle.start()
    start = datetime.now(UTC)
    await wait_until(lambda: datetime.now(UTC) > start + timedelta(seconds=1), idle)
    assert onlooker.running_schedulers() == 1


SLEEPER = """
import asyncio, sys
from scheduler import TaskScheduler

class Graph:
    async def ainvoke(self, input, config=None): ...

async def main():
    async with TaskScheduler(db_path=sys.argv[1], graph=Graph()):
        print("running", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody can tell before the lease is over")
def test_a_scheduler_that_was_killed_counts_no_more(db_path):
    """At once, on the same machine: its lease is not waited for."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", SLEEPER, str(db_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "running\n"
        onlooker = TaskScheduler(db_path=db_path)
        assert onlooker.running_schedulers() == 1
        program.send_signal(signal.SIGKILL)
        program.wait()
        assert onlooker.running_schedulers() == 0
        onlooker.stop()


# --- Tasks from a source ---


async def test_applying_says_what_it_did(face):
    """Added, changed, kept and removed, each in order."""
    assert face.apply_tasks([hourly("b"), hourly("a"), hourly("c")], source=FILE) == TaskChanges(added=("b", "a", "c"))
    face.add_task(hourly("by-hand"))
    changes = face.apply_tasks([hourly("d"), hourly("b", prompt="Another."), hourly("a")], source=FILE, prune=True)
    assert changes == TaskChanges(added=("d",), changed=("b",), kept=("a",), removed=("c",))
    assert ids(face) == {"a", "b", "d", "by-hand"}
    assert face.get_task("b").prompt == "Another."
    with pytest.raises(TaskNotFoundError):
        face.get_task("c")


async def test_without_prune_nothing_is_removed(face):
    """What the source holds no longer stays."""
    face.apply_tasks([hourly("a")], source=FILE)
    assert face.apply_tasks([hourly("b")], source=FILE) == TaskChanges(added=("b",))
    assert ids(face) == {"a", "b"}


async def test_a_source_prunes_its_own_tasks_only(face):
    """Not those of another one, nor those that another one has taken over."""
    face.apply_tasks([hourly("a"), hourly("shared")], source=FILE)
    face.apply_tasks([hourly("b"), hourly("shared")], source="other.toml")
    assert face.apply_tasks([], source=FILE, prune=True) == TaskChanges(removed=("a",))
    assert ids(face) == {"b", "shared"}


@pytest.mark.parametrize("prompt", ["Prompt of a", "Another."], ids=["the same", "another"])
async def test_a_task_that_was_taken_over_by_hand_is_not_pruned(face, prompt):
    """Adding it by hand, changed or not, makes it nobody's; the source that still holds it takes it back."""
    face.apply_tasks([hourly("a")], source=FILE)
    face.add_task(hourly("a", prompt=prompt))
    assert face.apply_tasks([], source=FILE, prune=True) == TaskChanges()
    assert ids(face) == {"a"}
    face.apply_tasks([hourly("a")], source=FILE)
    assert face.apply_tasks([], source=FILE, prune=True).removed == ("a",)


async def test_a_pause_is_no_take_over(face):
    """A task of the source may be paused: applying again keeps the pause, and it can still be pruned."""
    face.apply_tasks([hourly("a")], source=FILE)
    face.pause_task("a")
    assert face.apply_tasks([hourly("a")], source=FILE, prune=True).kept == ("a",)
    assert face.list_tasks()[0]["next_run"] == "paused"
    assert face.apply_tasks([], source=FILE, prune=True).removed == ("a",)


async def test_applying_keeps_the_due_times(face):
    """It is adding again: an unchanged schedule is not recomputed."""
    face.apply_tasks([hourly("a")], source=FILE)
    before = face.list_tasks()[0]["next_run"]
    assert face.apply_tasks([hourly("a", prompt="Another.")], source=FILE).changed == ("a",)
    assert face.list_tasks()[0]["next_run"] == before


async def test_a_removed_task_is_added_again(face):
    """What the source holds is there, whatever was done by hand; and pruning does not remove twice."""
    face.apply_tasks([hourly("a")], source=FILE)
    face.remove_task("a")
    assert face.apply_tasks([], source=FILE, prune=True) == TaskChanges()
    assert face.apply_tasks([hourly("a")], source=FILE) == TaskChanges(added=("a",))


async def test_a_dry_run_changes_nothing(face, db_path):
    """It says the same, and leaves every row as it was."""
    face.apply_tasks([hourly("a"), hourly("b"), hourly("c")], source=FILE)
    with rows(db_path) as connection:
        before = connection.execute("SELECT * FROM scheduler_tasks").fetchall()
        given = [hourly("a"), hourly("b", prompt="Another."), hourly("d"), one_time("past", run_at=LONG_AGO)]
        said = face.apply_tasks(given, source=FILE, prune=True, dry_run=True)
        assert connection.execute("SELECT * FROM scheduler_tasks").fetchall() == before
    assert said == face.apply_tasks(given, source=FILE, prune=True)
    assert said.removed == ("c",)


@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_is_wrong_changes_nothing(face, dry_run):
    """One wrong definition, found by the store, the model or an import, and everything stays as it was."""
    face.apply_tasks([hourly("a")], source=FILE)
    for wrong, words in [
        (hourly("b", result_callback="no_such_module.notify"), "Task b: result_callback='no_such_module.notify'"),
        (hourly("a"), "Task a: id='a' is there twice"),
        (one_time("b").model_copy(update={"run_at": None}), "Task b: run_at required"),
    ]:
        with pytest.raises(ValueError, match=words):
            face.apply_tasks([hourly("a", prompt="Another."), wrong], source=FILE, prune=True, dry_run=dry_run)
    assert face.get_task("a") == hourly("a")
    assert ids(face) == {"a"}


async def test_a_task_whose_time_has_passed_is_left_out(face):
    """By its instant or its bound, if it is not stored: a source may hold what is over."""
    over = [one_time("once", run_at=LONG_AGO), hourly("bounded", end_at=LONG_AGO)]
    changes = face.apply_tasks([*over, hourly("a")], source=FILE)
    assert changes.added == ("a",)
    assert changes.left_out == (
        ("once", "run_at=2020-01-01T00:00:00+00:00 has passed"),
        ("bounded", "end_at=2020-01-01T00:00:00+00:00 has passed"),
    )
    assert ids(face) == {"a"}


async def test_add_tasks_leaves_out_what_is_over(face, caplog):
    """The other tasks are added, and a warning names the task and the reason; `add_task` refuses one that is new."""
    face.add_tasks([one_time("once", run_at=LONG_AGO), hourly("a")])
    assert ids(face) == {"a"}
    assert "Task once is left out: run_at=2020-01-01T00:00:00+00:00 has passed" in caplog.messages
    with pytest.raises(InvalidTaskError, match=r"Task once: run_at=.* has passed .*give an instant in the future"):
        face.add_task(one_time("once", run_at=LONG_AGO))


async def test_add_task_leaves_out_what_was_there(face, caplog):
    """It was stored once, so it is no error that its time has passed since."""
    face.add_task(one_time("once", run_at=soon(3_600_000)))
    face.remove_task("once")
    face.add_task(one_time("once", run_at=LONG_AGO))
    assert ids(face) == set()
    assert "Task once is left out: run_at=2020-01-01T00:00:00+00:00 has passed" in caplog.messages


async def test_a_stored_task_that_is_moved_into_the_past_is_refused(face):
    """It would otherwise run at an instant that the source does not name any more."""
    face.apply_tasks([one_time("once", run_at=soon(3_600_000))], source=FILE)
    with pytest.raises(InvalidTaskError, match="Task once: run_at=2020-01-01T00:00:00\\+00:00 has passed"):
        face.apply_tasks([one_time("once", run_at=LONG_AGO)], source=FILE)


async def test_a_task_that_has_run_stays_over(new_scheduler):
    """The source may keep it: it is kept, and with another instant in the past it is left out."""
    scheduler = new_scheduler()
    scheduler.start()
    task = one_time("once")
    scheduler.apply_tasks([task], source=FILE)
    await wait_for_runs(scheduler, 1)
    assert scheduler.apply_tasks([task], source=FILE, prune=True) == TaskChanges(kept=("once",))
    moved = scheduler.apply_tasks([one_time("once", run_at=LONG_AGO)], source=FILE, prune=True)
    assert [task_id for task_id, _ in moved.left_out] == ["once"]
    assert len(scheduler.list_runs()) == 1


async def test_a_running_scheduler_takes_up_what_was_applied(new_scheduler):
    """At once: it does not wait for the next look at the store."""
    scheduler = new_scheduler(poll_interval=1000)
    scheduler.start()
    scheduler.apply_tasks([one_time("once")], source=FILE)
    await wait_for_runs(scheduler, 1)


@pytest.mark.parametrize("source", ["", " ", None, 3])
async def test_a_source_has_a_name(face, source):
    """It is what pruning goes by."""
    with pytest.raises(ValueError, match=r"source=.*; give a text"):
        face.apply_tasks([], source=source)
