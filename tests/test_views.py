"""What is shown of a task: the state, the next due time and the dict of `list_tasks()` are of one making."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from helpers import EchoGraph, hourly, one_time, wait_until
from hypothesis import given
from hypothesis import strategies as st

from scheduler import TaskScheduler, TaskState, TaskView

KEYS = ["id", "name", "next_run", "pause_reason", "problem", "timezone", "definition"]


@pytest.fixture
def scheduler(tmp_path):
    scheduler = TaskScheduler(db_path=tmp_path / "scheduler.db", graph=EchoGraph(), timezone="Europe/Berlin")
    yield scheduler
    scheduler.stop()


def test_a_scheduled_task(scheduler):
    """Its next due time is an instant in its zone; the dict has it as text."""
    scheduler.add_task(hourly(timezone="Asia/Tokyo"))
    [view] = scheduler.task_views()
    assert view.state is TaskState.SCHEDULED
    assert view.next_due.utcoffset() == timedelta(hours=9)
    assert scheduler.list_tasks() == [view.as_dict()]
    assert list(view.as_dict()) == KEYS
    assert datetime.fromisoformat(view.next_run) == view.next_due


def test_a_paused_task(scheduler):
    """It has no due time."""
    scheduler.add_task(hourly())
    scheduler.pause_task("hourly")
    [view] = scheduler.task_views()
    assert (view.state, view.next_due, view.next_run) == (TaskState.PAUSED, None, "paused")


def test_a_task_that_cannot_be_read(scheduler):
    """It has its id as a name, and says why."""
    scheduler.add_task(hourly())
    with scheduler._store.database.write() as connection:
        connection.driver.execute("UPDATE scheduler_tasks SET definition = '[]'")
    [view] = scheduler.task_views()
    assert (view.state, view.name, view.definition) == (TaskState.UNUSABLE, "hourly", None)
    assert view.next_run == f"error: {view.problem}"


async def test_the_last_run_of_a_task(tmp_path):
    """While it runs, the task is running; then it is finished, and not listed."""
    entered, opened = asyncio.Event(), asyncio.Event()

    class Graph(EchoGraph):
        async def ainvoke(self, given, config=None, **options):
            entered.set()
            await opened.wait()
            return await super().ainvoke(given, config, **options)

    async with TaskScheduler(db_path=tmp_path / "scheduler.db", graph=Graph(), poll_interval=0.05) as scheduler:
        task = one_time(run_at=datetime.now(UTC) + timedelta(seconds=0.2))
        scheduler.add_task(task)
        await entered.wait()
        assert [view.state for view in scheduler.task_views()] == [TaskState.RUNNING]
        opened.set()
        await wait_until(lambda: not scheduler.task_views(), scheduler)
        view = scheduler.task_view(task.id)
        assert (view.state, view.next_run) == (TaskState.FINISHED, "finished")
        assert view.finish_reason == f"run_at={task.run_at.isoformat()} has passed"
        assert view.finished_at > task.run_at


@given(st.sampled_from(TaskState), st.none() | st.text(), st.none() | st.text())
def test_each_state_has_its_text(state, reason, problem):
    """Whatever else is known of the task."""
    due = datetime(2026, 1, 5, tzinfo=UTC) if state is TaskState.SCHEDULED else None
    view = TaskView("t", "T", state, due, reason, problem, "UTC", None)
    expected = {TaskState.SCHEDULED: "2026-01-05 00:00:00+00:00", TaskState.UNUSABLE: f"error: {problem}"}
    assert view.next_run == view.as_dict()["next_run"] == expected.get(state, str(state))


def test_the_tasks_that_are_due_first_alone(scheduler):
    """For a page that shows few of many."""
    scheduler.add_tasks([hourly("late", interval_seconds=7200), hourly("soon"), hourly("later", interval_seconds=9000)])
    assert [view.id for view in scheduler.task_views(limit=2)] == ["soon", "late"]
    with pytest.raises(ValueError, match="limit"):
        scheduler.task_views(limit=0)
