"""wait_for_run and run_task: run a task now, and know how it ended."""

import asyncio

import pytest
from helpers import PATIENCE, hourly, steps

from scheduler import RunNotFoundError, TaskScheduler


async def test_a_task_is_run_and_its_run_returned(new_scheduler, echo):
    """With a prompt and metadata of its own."""
    scheduler = new_scheduler(echo)
    scheduler.add_task(hourly("t"))
    scheduler.start()
    run = await scheduler.run_task("t", prompt="Other words.", metadata={"a": 1}, timeout=PATIENCE)
    assert (run.status, run.response, run.trigger) == ("succeeded", "Echo: Other words.", "manual")
    [(given, _config)] = echo.calls
    assert given["metadata"]["a"] == 1
    assert await scheduler.wait_for_run(run.id) == run


async def test_another_process_may_run_it(new_scheduler, db_path):
    """One that does not run itself waits as well, and sees failures, too."""
    scheduler, other = new_scheduler(), new_scheduler()
    scheduler.add_task(hourly("t"))
    scheduler.start()
    run = await other.run_task("t", timeout=PATIENCE)
    assert run.status == "succeeded"


async def test_a_wait_has_a_limit(new_scheduler, blocking):
    """The run continues when it is over."""
    scheduler = new_scheduler(blocking)
    scheduler.add_task(hourly("t"))
    scheduler.start()
    run_id = scheduler.trigger_task("t")
    await asyncio.wait_for(blocking.entered.wait(), PATIENCE)
    with pytest.raises(TimeoutError):
        await scheduler.wait_for_run(run_id, timeout=0.01)
    waiting = asyncio.create_task(scheduler.wait_for_run(run_id))
    await steps()
    assert not waiting.done()
    blocking.release.set()
    assert (await asyncio.wait_for(waiting, PATIENCE)).status == "succeeded"


async def test_wrong_arguments(new_scheduler):
    """There must be such a run, and a time must be one."""
    scheduler: TaskScheduler = new_scheduler()
    with pytest.raises(RunNotFoundError):
        await scheduler.wait_for_run("nothing")
    with pytest.raises(ValueError, match="timeout=-1"):
        await scheduler.wait_for_run("nothing", timeout=-1)
    with pytest.raises(ValueError, match="run_id=7"):
        await scheduler.wait_for_run(7)
