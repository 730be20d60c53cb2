"""A conversation is forgotten: the next run begins a new one."""

import asyncio
from typing import Annotated

import pytest
from helpers import PATIENCE, EchoGraph, hourly, wait_until
from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState, add_messages
from pydantic import BaseModel
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


class Before(BaseModel):
    messages: Annotated[list, add_messages] = []
    notes: list[str] = []


class State(BaseModel):
    messages: Annotated[list, add_messages] = []
    notes: dict[str, str] = {}


async def note(state):
    notes = [*state.notes, "one"] if isinstance(state.notes, list) else {**state.notes, "one": "1"}
    return {"messages": [AIMessage(str(len(notes)))], "notes": notes}


async def test_a_state_that_has_changed(scheduler_with):
    """The run says that it is the conversation, and how to begin a new one; then it succeeds."""
    old = scheduler_with(chain(Before, note=note).compile())
    old.add_task(hourly())
    old.start()
    assert await answer_of(old) == "1"
    await old.stop()
    new = scheduler_with(chain(State, note=note).compile())
    new.start()
    run_id = new.trigger_task("hourly")
    await wait_until(lambda: new.get_run(run_id).finished_at, new)
    run = new.get_run(run_id)
    assert run.status is RunStatus.FAILED
    assert "was saved with another state, and the graph's State refuses it (notes)" in run.error
    assert "forget_session(task_id='hourly') or `task-scheduler forget --task hourly` begins a new one" in run.error
    await new.forget_session(task_id="hourly")
    assert await answer_of(new) == "1"


async def test_an_error_of_a_node_that_is_a_validation_error(scheduler_with):
    """Of another type, or in the first run of a conversation, it is the node's own."""

    class Other(BaseModel):
        n: int

    async def check(_state):
        return {"messages": [AIMessage(str(Other(n="x")))]}

    scheduler = scheduler_with(chain(State, check=check).compile())
    scheduler.add_task(hourly())
    scheduler.start()
    for _ in range(2):
        run_id = scheduler.trigger_task("hourly")
        await wait_until(lambda run_id=run_id: scheduler.get_run(run_id).finished_at, scheduler)
        assert scheduler.get_run(run_id).error.startswith("ValidationError: 1 validation error for Other")
