"""cancel_run: runs of this process and of others end, and so do those that do not want to."""

import asyncio

from helpers import PATIENCE, BlockingGraph, EchoGraph, hourly, wait_until


class Stubborn(BlockingGraph):
    """Takes note of its cancellation, and returns when it is released all the same."""

    async def ainvoke(self, given, config=None):
        self.calls.append((given, config))
        self.entered.set()
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        return await EchoGraph().ainvoke(given)


async def entered(graph):
    await asyncio.wait_for(graph.entered.wait(), PATIENCE)


async def test_a_running_run_is_cancelled(new_scheduler, blocking):
    """At once in its own process; the reason is its error."""
    scheduler = new_scheduler(blocking, poll_interval=60)
    scheduler.add_task(hourly("t"))
    scheduler.start()
    run_id = scheduler.trigger_task("t")
    await entered(blocking)
    scheduler.cancel_run(run_id, "wrong prompt")
    run = await scheduler.wait_for_run(run_id, PATIENCE)
    assert (run.status, run.error, blocking.cancelled) == ("cancelled", "wrong prompt", 1)


async def test_a_run_of_another_process_is_cancelled(new_scheduler, blocking):
    """Its owner looks for that in each pass."""
    owner, other = new_scheduler(blocking, poll_interval=0.05), new_scheduler()
    owner.add_task(hourly("t"))
    owner.start()
    run_id = owner.trigger_task("t")
    await entered(blocking)
    other.cancel_run(run_id)
    run = await other.wait_for_run(run_id, PATIENCE)
    assert (run.status, run.error) == ("cancelled", "cancelled by cancel_run")


async def test_a_run_that_ignores_its_cancellation_keeps_its_slot(new_scheduler):
    """It is `cancelled` when it returns, whatever it returns; nothing else starts in its slot until then."""
    graph = Stubborn()
    scheduler = new_scheduler(graph, max_concurrent_runs=1)
    scheduler.add_tasks([hourly("t"), hourly("other")])
    scheduler.start()
    run_id = scheduler.trigger_task("t")
    await entered(graph)
    scheduler.cancel_run(run_id, "stop it")
    await wait_until(lambda: graph.cancelled, scheduler)
    waiting = scheduler.trigger_task("other")
    await scheduler.scheduler.pass_done.wait()
    assert scheduler.get_run(waiting).status == "pending"
    assert scheduler.get_run(run_id).status == "running"
    graph.release.set()
    run = await scheduler.wait_for_run(run_id, PATIENCE)
    assert (run.status, run.error, run.response) == ("cancelled", "stop it", "Echo: Prompt of t")
    assert (await scheduler.wait_for_run(waiting, PATIENCE)).status == "succeeded"


async def test_a_run_that_ignores_its_cancellation_is_interrupted_by_a_stop(new_scheduler, monkeypatch):
    """After the patience that a stop has."""
    monkeypatch.setattr("scheduler.engine.drain.CANCEL_PATIENCE", 0.01)
    graph = Stubborn()
    scheduler = new_scheduler(graph)
    scheduler.add_task(hourly("t"))
    scheduler.start()
    run_id = scheduler.trigger_task("t")
    await entered(graph)
    scheduler.cancel_run(run_id)
    await wait_until(lambda: graph.cancelled, scheduler)
    await scheduler.stop()
    assert scheduler.get_run(run_id).status == "interrupted"
    graph.release.set()


async def test_a_run_is_cancelled_while_its_scheduler_drains(new_scheduler, blocking):
    """A stop that waits for it need not wait any longer."""
    scheduler = new_scheduler(blocking, shutdown_grace_seconds=PATIENCE)
    scheduler.add_task(hourly("t"))
    scheduler.start()
    run_id = scheduler.trigger_task("t")
    await entered(blocking)
    stopping = scheduler.stop()
    new_scheduler().cancel_run(run_id, "no need to wait")
    await asyncio.wait_for(stopping, PATIENCE)
    run = scheduler.get_run(run_id)
    assert (run.status, run.error) == ("cancelled", "no need to wait")


async def test_a_failed_run_is_repeated(new_scheduler, failing):
    """By hand, as often as one likes."""
    scheduler = new_scheduler(failing)
    scheduler.add_task(hourly("t"))
    scheduler.start()
    first = await scheduler.run_task("t", timeout=PATIENCE)
    again = await scheduler.wait_for_run(scheduler.retry_run(first.id), PATIENCE)
    assert (again.status, again.trigger, again.retry_of) == ("failed", "retry", first.id)
