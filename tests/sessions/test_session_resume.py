"""Runs that were cut off continue: after a kill, a stop, a failure."""

import asyncio
import os
import signal

import pytest
from helpers import hourly, wait_for_runs, wait_until
from langgraph.checkpoint.memory import InMemorySaver
from session_kit import Gate, Steps, counting, saver_at, store_at

from scheduler import RunStatus, TaskScheduler
from scheduler.graphs.local_langgraph import new_control

needs_signals = pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones")


class Stage:
    """A store that processes work on one after the other; its runs are looked at from here."""

    def __init__(self, place, begin):
        self.place = place
        self._begin = begin
        self.face = TaskScheduler(**store_at(place))

    def begin(self):
        return self._begin(self.place)

    def trigger(self, prompt, **fields):
        self.face.add_task(hourly("t", prompt=prompt, **fields))
        return self.face.trigger_task("t")

    def run(self):
        """Return the only run."""
        (run,) = self.face.list_runs()
        return run


@pytest.fixture
def stage(place, begin):
    stage = Stage(place, begin)
    yield stage
    stage.face.stop()


@pytest.fixture
def sqlite_stage(db_path, begin):
    stage = Stage(("sqlite", str(db_path)), begin)
    yield stage
    stage.face.stop()


async def end_here(stage, **options):
    """Run a scheduler in this process until the only run is over; return the run and the steps that it made."""
    steps = Steps()
    async with saver_at(stage.place) as saver:
        options = {"graph": steps.graph(), "checkpointer": saver, "poll_interval": 0.05, **options}
        async with TaskScheduler(**store_at(stage.place), **options) as scheduler:
            (run,) = await wait_for_runs(scheduler, 1)
    return run, steps.done


@needs_signals
async def test_a_killed_run_continues_with_the_step_that_was_under_way(stage):
    """Promise 4, on each database: step a is not made again, and the history shows one run and its attempts."""
    stage.trigger("hold-b")
    process = stage.begin().wait_for("step b")
    assert process.kill().steps() == ["a", "b"]
    run, steps = await end_here(stage)
    assert steps == ["b", "c"]
    assert (run.status, run.attempt, run.resumed, run.response) == (RunStatus.SUCCEEDED, 2, True, "c")
    (earlier,) = run.earlier_attempts
    assert (earlier.number, earlier.status, earlier.error) == (1, RunStatus.INTERRUPTED, "its process died")


@needs_signals
def test_a_graph_that_had_returned_is_not_run_again(sqlite_stage):
    """Killed between the graph's end and the record of it, the run is recorded as succeeded by the next process."""
    sqlite_stage.trigger("die-after", result_callback="session_child.callback")
    first = sqlite_stage.begin().wait_for_end()
    assert first.steps() == ["a", "b", "c"]
    second = sqlite_stage.begin().wait_for("callback")
    second.send(signal.SIGTERM)
    assert second.wait_for_end().steps() == []
    run = sqlite_stage.run()
    assert (run.status, run.attempt, run.resumed, run.response) == (RunStatus.SUCCEEDED, 2, False, "c")


@needs_signals
@pytest.mark.parametrize("rerun", [False, True])
def test_a_run_with_nothing_to_continue(sqlite_stage, rerun):
    """Killed before its first checkpoint it is interrupted, or run again if the task says so."""
    sqlite_stage.trigger("die-before", rerun_after_crash=rerun)
    sqlite_stage.begin().wait_for_end()
    assert sqlite_stage.run().status is RunStatus.RUNNING
    second = sqlite_stage.begin()
    if rerun:
        second.wait_for("step c")
        second.send(signal.SIGTERM)
        assert second.wait_for_end().steps() == ["a", "b", "c"]
        assert (sqlite_stage.run().status, sqlite_stage.run().attempt) == (RunStatus.SUCCEEDED, 2)
        return
    sqlite_stage.trigger("next")
    second.wait_for("step c")
    second.kill()
    run = sqlite_stage.face.list_runs()[-1]
    assert run.status is RunStatus.INTERRUPTED
    assert "no checkpoint of the run to continue from" in run.error


@needs_signals
async def test_a_stop_ends_the_step_and_the_next_start_makes_the_rest(stage):
    """At SIGTERM the graph is asked to stop at the end of its step, long before the grace is over."""
    stage.trigger("hold-b")
    process = stage.begin().wait_for("step b")
    process.send(signal.SIGTERM)
    process.wait_for("stopping")
    process.command("go on")
    assert process.wait_for_end().lines[-1] == "stopped"
    assert process.steps() == ["a", "b"]
    assert stage.run().status is RunStatus.PENDING
    run, steps = await end_here(stage)
    assert steps == ["c"]
    assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 2, True)
    (earlier,) = run.earlier_attempts
    assert (earlier.status, earlier.error) == (RunStatus.INTERRUPTED, "the scheduler was stopped")


async def test_a_step_that_outlasts_the_grace_is_made_again(scheduler_with):
    """It is cancelled; the run waits for the next start, and continues with that step."""
    steps = Steps()
    steps.gates["b"] = Gate()
    scheduler = scheduler_with(steps.graph())
    scheduler.add_task(hourly())
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    await steps.gates.get("b").entered.wait()
    await scheduler.stop()
    assert scheduler.get_run(run_id).status is RunStatus.PENDING
    del steps.gates["b"]
    scheduler.start()
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    assert steps.done == ["a", "b", "b", "c"]
    assert scheduler.get_run(run_id).status is RunStatus.SUCCEEDED


async def test_a_stop_that_comes_before_the_graph_is_called(scheduler_with):
    """A run that is about to begin does not make all its steps while the scheduler stops."""
    steps, stops = Steps(), [TaskScheduler.stop]

    def build(_task):
        """Stop the scheduler at the last moment before the graph is called, but only once."""
        if stops:
            stops.pop()(scheduler)
        return {"messages": ["Go on."]}

    scheduler = scheduler_with(steps.graph(), shutdown_grace_seconds=20, input_builder=build)
    scheduler.add_task(hourly())
    run_id = scheduler.trigger_task("hourly")
    scheduler.start()
    await asyncio.wrap_future(scheduler.scheduler.engine.stopped())
    assert not stops
    assert steps.done == []
    assert scheduler.get_run(run_id).status is RunStatus.PENDING
    scheduler.start()
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    assert steps.done == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("from_start", "made", "resumed"), [(False, ["a", "b", "b", "c"], True), (True, ["a", "b", "a", "b", "c"], False)]
)
async def test_a_retry(scheduler_with, from_start, made, resumed):
    """It continues with the step that failed; with `retry_from_start` it starts from its input."""
    steps = Steps()
    steps.failures["b"] = 1
    scheduler = scheduler_with(steps.graph())
    scheduler.add_task(hourly(max_attempts=2, retry_delay_seconds=0, retry_from_start=from_start))
    scheduler.start()
    scheduler.trigger_task("hourly")
    (run,) = await wait_for_runs(scheduler, 1)
    assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 2, resumed)
    assert steps.done == made


async def test_a_retry_that_fails_was_a_continuation_all_the_same(scheduler_with):
    """`resumed` says how the latest attempt began, not how it ended."""
    steps = Steps()
    steps.failures["b"] = 2
    scheduler = scheduler_with(steps.graph())
    scheduler.add_task(hourly(max_attempts=2, retry_delay_seconds=0))
    scheduler.start()
    scheduler.trigger_task("hourly")
    (run,) = await wait_for_runs(scheduler, 1)
    assert (run.status, run.resumed) == (RunStatus.FAILED, True)


async def test_a_run_between_two_attempts_keeps_its_thread(scheduler_with):
    """A run of another task on the same thread waits: its input would take the place of the steps that are left."""
    steps = Steps()
    steps.failures["b"] = 1
    scheduler = scheduler_with(steps.graph())
    scheduler.add_tasks(
        [
            hourly("one", max_attempts=2, retry_delay_seconds=0.2, session_id="talk"),
            hourly("two", session_id="talk"),
        ]
    )
    scheduler.start()
    scheduler.trigger_task("one")
    await wait_until(lambda: steps.failures["b"] == 0, scheduler)
    scheduler.trigger_task("two")
    runs = await wait_for_runs(scheduler, 2)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert steps.done == ["a", "b", "b", "c", "a", "b", "c"]


async def test_a_failed_run_leaves_its_thread_usable(scheduler_with):
    """The next run begins with its own input, not with the steps that the failed one has left."""
    steps = Steps()
    steps.failures["b"] = 1
    scheduler = scheduler_with(steps.graph())
    scheduler.add_task(hourly())
    scheduler.start()
    for _ in range(2):
        scheduler.trigger_task("hourly")
        await wait_until(lambda: not scheduler.list_runs(status="running"), scheduler)
    runs = await wait_for_runs(scheduler, 2)
    assert [run.status for run in runs] == [RunStatus.SUCCEEDED, RunStatus.FAILED]
    assert steps.done == ["a", "b", "a", "b", "c"]


def test_this_langgraph_can_be_asked_to_stop():
    """The stop at a step boundary is there wherever LangGraph has it, and needs a checkpointer."""
    assert new_control(counting()) is None
    assert new_control(counting().copy(update={"checkpointer": InMemorySaver()})) is not None
