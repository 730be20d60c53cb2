"""retry_run: a run that failed continues at the failed step, in a new run."""

import asyncio

import pytest
from helpers import PATIENCE, hourly
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from session_kit import chain


class Steps:
    """Two nodes that count their calls; the second one fails until it is mended, or waits for ever."""

    def __init__(self):
        self.calls = []
        self.is_mended, self.waits, self.entered = False, False, asyncio.Event()
        self.graph = chain(MessagesState, first=self.first, second=self.second).compile(checkpointer=InMemorySaver())

    async def first(self, state):
        self.calls.append("first")
        return {"messages": [AIMessage("one")]}

    async def second(self, state):
        self.calls.append("second")
        if self.waits:
            self.entered.set()
            await asyncio.Event().wait()
        if not self.is_mended:
            raise ValueError("no such city")
        return {"messages": [AIMessage(f"two of {len(state['messages'])}")]}


@pytest.fixture
async def failed(new_scheduler):
    """Return a scheduler, its graph, and a run that has failed in the second node."""
    steps = Steps()
    scheduler = new_scheduler(steps.graph)
    scheduler.add_task(hourly("t"))
    scheduler.start()
    run = await scheduler.run_task("t", timeout=PATIENCE)
    assert (run.status, steps.calls) == ("failed", ["first", "second"])
    return scheduler, steps, run


async def retried(scheduler, run, **options):
    return await scheduler.wait_for_run(scheduler.retry_run(run.id, **options), PATIENCE)


async def test_a_retry_continues_at_the_failed_step(failed):
    """What was done is not done again."""
    scheduler, steps, run = failed
    steps.is_mended = True
    again = await retried(scheduler, run)
    assert (again.status, again.resumed, again.response) == ("succeeded", True, "two of 2")
    assert steps.calls == ["first", "second", "second"]


async def test_a_retry_that_fails_is_continued_by_the_next_one(failed):
    """At the same step, by way of two runs."""
    scheduler, steps, run = failed
    again = await retried(scheduler, run)
    assert again.status == "failed"
    steps.is_mended = True
    assert (await retried(scheduler, again)).response == "two of 2"
    assert steps.calls.count("first") == 1


async def test_a_retry_from_the_start(failed):
    """The input is given once more, on the same thread."""
    scheduler, steps, run = failed
    steps.is_mended = True
    again = await retried(scheduler, run, from_start=True)
    assert (again.status, again.resumed) == ("succeeded", False)
    assert steps.calls == ["first", "second"] * 2


async def test_a_thread_that_has_moved_on_is_not_continued(failed):
    """The checkpoint of the run is not the head of its thread any more: the retry begins from the beginning."""
    scheduler, steps, run = failed
    steps.is_mended = True
    assert (await scheduler.run_task("t", timeout=PATIENCE)).status == "succeeded"
    again = await retried(scheduler, run)
    assert (again.status, again.resumed) == ("succeeded", False)
    assert steps.calls == ["first", "second"] * 3


async def test_a_run_that_succeeded_begins_from_the_beginning(failed):
    """Nothing is left of it to continue."""
    scheduler, steps, run = failed
    steps.is_mended = True
    done = await retried(scheduler, run)
    again = await retried(scheduler, done)
    assert (again.status, again.resumed) == ("succeeded", False)


async def test_a_cancelled_run_continues(failed):
    """At the step in which it was cancelled."""
    scheduler, steps, _run = failed
    steps.waits = True
    run_id = scheduler.trigger_task("t")
    await asyncio.wait_for(steps.entered.wait(), PATIENCE)
    scheduler.cancel_run(run_id)
    cancelled = await scheduler.wait_for_run(run_id, PATIENCE)
    assert cancelled.status == "cancelled"
    steps.waits, steps.is_mended = False, True
    again = await retried(scheduler, cancelled)
    assert (again.status, again.resumed) == ("succeeded", True)
    assert steps.calls == ["first", "second", "first", "second", "second"]
