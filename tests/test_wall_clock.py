"""A process that is suspended, and one that starts after the clock was wrong."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from helpers import hourly, rows, start_with_claims_ahead, steps, wait_for_runs, wait_until

from scheduler.store import SchedulerSession, database_at

SECOND = 1_000_000
AN_HOUR = 3600


# --- The clock was wrong when the program last ran ---


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(days=3650)])
async def test_a_start_after_the_clock_was_ahead(new_scheduler, echo, ahead):
    """Recurring tasks are due as after any start, though the program adds the same tasks again."""
    tasks = [hourly(), hourly("minutely", interval_seconds=60), hourly("jittered", jitter_seconds=60)]
    with time_machine.travel(datetime.now(UTC) + ahead, tick=True):
        scheduler = new_scheduler(echo)
        scheduler.add_tasks(tasks)
        scheduler.start()
        await scheduler.scheduler.pass_done.wait()
        await scheduler.stop()
    again = new_scheduler(echo)
    again.add_tasks(tasks)
    again.start()
    for listed in again.list_tasks():
        wait = datetime.fromisoformat(listed["next_run"]) - datetime.now(UTC)
        assert wait < timedelta(seconds=60 if listed["id"] == "minutely" else 3660)


# --- A suspension ---


def take_over_while_suspended(db_path):
    """Let another process end all running runs while this process, whose loop is blocked here, does nothing."""
    taken = []
    other = threading.Thread(target=lambda: taken.extend(take_over(db_path)))
    other.start()
    other.join()
    return taken


def take_over(db_path):
    """End all running runs as another process does once the lease of their owner has expired."""
    with rows(db_path) as connection:
        # Nobody can tell whether the owner lives: it is in another container.
        connection.execute("UPDATE scheduler_owners SET namespace = 'another'")
    other = SchedulerSession(
        database_at(db_path, None),
        100,
        30 * SECOND,
        AN_HOUR * SECOND,
        needs_loading=lambda _task: None,
        is_checkpointed=lambda _task: False,
        is_observed=lambda: False,
    )
    now = time.time_ns() // 1000
    other.begin(now)
    taken = [run for each in range(0, 40, 5) for run in other.run_pass(now + each * SECOND, 0, [], []).recovered]
    other.end([], now)
    other.close()
    return taken


@pytest.fixture
async def claimed_ahead(new_scheduler, blocking, monkeypatch):
    """Return a scheduler with one slot whose first run is running while three more are claimed and queued."""
    scheduler = new_scheduler(blocking, max_concurrent_runs=1)
    with time_machine.travel(time.time(), tick=True) as clock:
        start_with_claims_ahead(scheduler, 4, monkeypatch)
        await wait_until(
            lambda: blocking.inside == 1 and scheduler.scheduler.engine._started.passes.slots.queued == 3, scheduler
        )
        scheduler.clock = clock
        yield scheduler
        await scheduler.stop()


async def test_queued_claims_that_were_taken_over_do_not_start(claimed_ahead, blocking, db_path):
    """The first run ends before the scheduler has made a pass, which would withdraw the others."""
    claimed_ahead.clock.shift(AN_HOUR)
    taken = take_over_while_suspended(db_path)
    assert len(taken) == 4
    blocking.release.set()
    await steps()
    assert len(blocking.calls) == 1
    runs = await wait_for_runs(claimed_ahead, 4)
    assert {str(run.status) for run in runs} == {"interrupted"}
    assert len(blocking.calls) == 1


async def test_queued_claims_that_nobody_took_over_start_after_a_pass(claimed_ahead, blocking):
    """A suspension alone loses nothing."""
    claimed_ahead.clock.shift(AN_HOUR)
    blocking.release.set()
    await steps()
    assert len(blocking.calls) == 1
    runs = await wait_for_runs(claimed_ahead, 4)
    assert {str(run.status) for run in runs} == {"succeeded"}
    assert len(blocking.calls) == 4


async def test_a_suspension_during_which_the_clock_was_set_back(claimed_ahead, blocking, db_path, monkeypatch):
    """It shows on the loop's clock: the wall clock says that no time has passed."""
    taken = take_over_while_suspended(db_path)
    assert len(taken) == 4
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda began=time.monotonic: began() + AN_HOUR)
    blocking.release.set()
    await steps()
    assert len(blocking.calls) == 1


async def test_queued_claims_start_while_the_lease_lasts(claimed_ahead, blocking):
    """A step of the clock by some seconds is not taken for a suspension."""
    claimed_ahead.clock.shift(5)
    blocking.release.set()
    await steps()
    assert len(blocking.calls) > 1
