"""Runs that were claimed before their due time start on it; a stop or a suspension in between loses nothing."""

import asyncio
import time
from datetime import timedelta

import pytest
import time_machine
from helpers import EchoGraph, one_time, soon, statuses, wait_for_runs, wait_until

from scheduler.engine import claim_ahead


class PunctualGraph(EchoGraph):
    """Notes when it is called."""

    async def ainvoke(self, given, config=None):
        now = time.time()
        self.called_at = now
        return await super().ainvoke(given, config)


@pytest.fixture
def far_ahead(monkeypatch):
    """Let passes claim what is due within the next minute."""
    monkeypatch.setattr(claim_ahead, "_EARLY", 60)
    monkeypatch.setattr(claim_ahead, "_MOST_EARLY", 60)


@pytest.mark.usefixtures("far_ahead")
async def test_a_claimed_run_waits_for_its_due_time(new_scheduler):
    """The graph is not called before it, and the history says that it started on it."""
    graph = PunctualGraph()
    scheduler = new_scheduler(graph)
    task = one_time(run_at=soon(80))
    scheduler.add_task(task)
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert graph.called_at >= task.run_at.timestamp()
    assert run.started_at == run.scheduled_at == task.run_at
    assert run.finished_at >= run.started_at


@pytest.mark.usefixtures("far_ahead")
async def test_a_stop_before_the_due_time_gives_the_run_back(new_scheduler, db_path, echo):
    """It is pending, nothing was called, and the next scheduler runs it on time."""
    scheduler = new_scheduler(echo)
    scheduler.add_task(one_time(run_at=soon(30_000)))
    scheduler.start()
    await wait_until(lambda: scheduler.list_runs(status="running"), scheduler)
    await scheduler.stop()
    assert statuses(db_path) == {"pending": 1}
    assert echo.calls == []
    following = new_scheduler(echo)
    [run] = following.list_runs()
    assert (run.status, run.attempt, run.started_at) == ("pending", 0, None)
    with time_machine.travel(run.scheduled_at + timedelta(seconds=1)):
        following.start()
        await wait_for_runs(following, 1)
        await following.stop()
    assert statuses(db_path) == {"succeeded": 1}


@pytest.mark.usefixtures("far_ahead")
async def test_a_process_that_was_suspended_asks_the_store_again(new_scheduler, echo):
    """Somebody else may have taken the run over meanwhile: it goes back, and starts only if it is still there."""
    scheduler = new_scheduler(echo)
    task = one_time(run_at=soon(2_000))  # so long that a busy machine is back before it comes
    scheduler.add_task(task)
    scheduler.start()
    await wait_until(lambda: scheduler.list_runs(status="running"), scheduler)
    with time_machine.travel(task.run_at + timedelta(seconds=20)):
        [run] = await wait_for_runs(scheduler, 1)
        await scheduler.stop()
    assert (run.status, run.attempt) == ("succeeded", 1)
    assert run.started_at > run.scheduled_at
    assert len(echo.calls) == 1


@pytest.mark.parametrize("step", [-3600, -1.5, 1.5, 3600])
async def test_a_step_of_the_clock_between_claim_and_start(new_scheduler, echo, step):
    """The run starts once, when it would have started, by the loop's clock; a step forward lets it start at once."""
    scheduler = new_scheduler(echo)
    with time_machine.travel(time.time(), tick=True) as clock:
        step_after_the_first_claim(scheduler, clock, step)
        scheduler.add_task(one_time(run_at=soon(150)))
        scheduler.start()
        began = asyncio.get_running_loop().time()
        [run] = await wait_for_runs(scheduler, 1)
        assert asyncio.get_running_loop().time() - began < 2
        await scheduler.stop()
    assert (run.status, run.attempt) == ("succeeded", 1)
    assert len(echo.calls) == 1


def step_after_the_first_claim(scheduler, clock, step):
    """Set the wall clock when a due time was claimed early and its run has not been submitted."""
    make_pass, stepped = scheduler._engine._parts.session.run_pass, []

    def run_pass(*arguments):
        result = make_pass(*arguments)
        if not stepped and any(claim.starts_at for claim in result.claims):
            stepped.append(clock.shift(step))
        return result

    scheduler._engine._parts.session.run_pass = run_pass


async def test_many_due_times_at_once_keep_to_the_limit(new_scheduler, blocking, monkeypatch):
    """Claims that wait for their due time take a slot."""
    monkeypatch.setattr(claim_ahead, "_EARLY", 60)
    monkeypatch.setattr(claim_ahead, "_MOST_EARLY", 60)
    scheduler = new_scheduler(blocking, max_concurrent_runs=2)
    run_at = soon(60)
    scheduler.add_tasks(one_time(f"t{number}", run_at=run_at) for number in range(6))
    scheduler.start()
    await wait_until(lambda: scheduler.list_runs(status="running"), scheduler)
    assert len(scheduler.list_runs(status="running")) == 2
    blocking.release.set()
    await wait_for_runs(scheduler, 6)
    assert blocking.most <= 2
    await asyncio.sleep(0)
