"""A conversation is forgotten: the next run begins a new one."""

import asyncio

import pytest
from helpers import PATIENCE, EchoGraph, hourly, wait_until
from langgraph.graph import MessagesState
from session_kit import Gate, approve, asking, chain, counting

from scheduler import RunStatus, TaskNotFoundError


async def answer_of(scheduler, task_id="hourly"):
    run_id = scheduler.trigger_task(task_id)
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id).response


async def test_the_conversation_of_a_task(scheduler_with):
    """The others stay; the runs stay in the history."""
    scheduler = scheduler_with(counting())
    scheduler.add_task(hourly())
    scheduler.add_task(hourly("other"))
    scheduler.start()
    assert [await answer_of(scheduler), await answer_of(scheduler), await answer_of(scheduler, "other")] == [
        "1",
        "3",
        "1",
    ]
    assert await scheduler.forget_session(task_id="hourly") == "scheduler-task:hourly"
    assert [await answer_of(scheduler), await answer_of(scheduler, "other")] == ["1", "3"]
    assert len(scheduler.list_runs("hourly")) == 3


async def test_the_conversation_of_a_session(scheduler_with):
    """Of all tasks that share it."""
    scheduler = scheduler_with(counting())
    scheduler.add_task(hourly("a", session_id="team"))
    scheduler.add_task(hourly("b", session_id="team"))
    scheduler.start()
    assert [await answer_of(scheduler, "a"), await answer_of(scheduler, "b")] == ["1", "3"]
    assert await scheduler.forget_session(session_id="team") == "scheduler:team"
    assert await answer_of(scheduler, "b") == "1"


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.WAITING])
async def test_not_while_a_run_is_open(scheduler_with, status):
    """It is refused, with the run; nothing is lost."""
    gate = Gate()
    graph = chain(MessagesState, gate=gate).compile() if status is RunStatus.RUNNING else asking(approve)
    scheduler = scheduler_with(graph)
    scheduler.add_task(hourly())
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    await wait_until(lambda: scheduler.get_run(run_id).status is status, scheduler)
    with pytest.raises(ValueError, match=f"run {run_id} is open on it; cancel_run it, or wait for its end"):
        await scheduler.forget_session(task_id="hourly")
    if status is RunStatus.RUNNING:
        await asyncio.wait_for(gate.entered.wait(), PATIENCE)
        gate.opened.set()
    else:
        scheduler.answer_run(run_id, "yes")
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    assert scheduler.get_run(run_id).status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("given", "error", "problem"),
    [
        ({}, ValueError, "give session_id=… or task_id=…, and not both"),
        ({"task_id": "hourly", "session_id": "x"}, ValueError, "not both"),
        ({"task_id": "nobody"}, TaskNotFoundError, "nobody"),
        ({"task_id": "each"}, ValueError, "each of its runs has a conversation of its own; session_retention says"),
        ({"task_id": "chat"}, ValueError, "is a conversation of the program's; delete it with your own saver"),
    ],
)
async def test_what_cannot_be_forgotten(scheduler_with, given, error, problem):
    """It is said, with what to do instead."""
    scheduler = scheduler_with(counting())
    scheduler.add_task(hourly())
    scheduler.add_task(hourly("each", session_mode="per_run"))
    scheduler.add_task(hourly("chat", thread_id="chat-7"))
    with pytest.raises(error, match=problem):
        await scheduler.forget_session(**given)


async def test_a_graph_that_keeps_nothing(new_scheduler):
    """Nothing is pretended."""
    scheduler = new_scheduler(EchoGraph())
    scheduler.add_task(hourly())
    with pytest.raises(ValueError, match="its graph keeps no conversations; give TaskScheduler the checkpointer="):
        await scheduler.forget_session(task_id="hourly")
