"""Conversations that keep the messages of the last runs alone."""

import operator
from typing import Annotated

import pytest
from helpers import EchoGraph, hourly, wait_until
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph import MessagesState
from session_kit import chain, counting
from typing_extensions import TypedDict

from scheduler import RunStatus
from scheduler.errors import InvalidTaskError


async def run_of(scheduler, task_id="hourly"):
    run_id = scheduler.trigger_task(task_id)
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id)


@pytest.mark.parametrize(("keep", "seen"), [(1, [1, 3, 3, 3, 3]), (2, [1, 3, 5, 5, 5]), (None, [1, 3, 5, 7, 9])])
async def test_a_run_sees_the_last_runs(scheduler_with, keep, seen):
    """And its own message; the conversation stays as short."""
    scheduler = scheduler_with(counting())
    scheduler.add_task(hourly(session_keep_runs=keep))
    scheduler.start()
    assert [int((await run_of(scheduler)).response) for _ in seen] == seen


async def agent(state):
    """Refuse a history as providers do, call a tool, and answer with what was seen."""
    messages = state["messages"]
    calls = {call["id"] for each in messages if isinstance(each, AIMessage) for call in each.tool_calls}
    answered = {each.tool_call_id for each in messages if isinstance(each, ToolMessage)}
    if calls != answered:
        raise OSError("400: tool_calls must be followed by tool messages")
    call = {"name": "look", "args": {}, "id": f"call-{id(state)}-{len(messages)}"}
    start = [] if any(isinstance(each, SystemMessage) for each in messages) else [SystemMessage("Be brief.")]
    found = ToolMessage("found", tool_call_id=call["id"])
    kinds = "".join({"human": "h", "system": "s", "ai": "a", "tool": "t"}[each.type] for each in messages)
    return {"messages": [*start, AIMessage("", tool_calls=[call]), found, AIMessage(kinds)]}


async def test_tool_calls_and_their_answers_stay_together(scheduler_with):
    """The conversation is cut where a run began, and keeps its system message."""
    scheduler = scheduler_with(chain(MessagesState, agent=agent).compile())
    scheduler.add_task(hourly(session_keep_runs=1))
    scheduler.start()
    assert [(await run_of(scheduler)).response for _ in range(4)] == ["h", "hsatah", "shatah", "shatah"]


async def test_a_failed_run_does_not_count(scheduler_with):
    """It has left nothing in the conversation."""
    trouble = []

    async def count(state):
        if trouble:
            raise OSError(trouble.pop())
        return {"messages": [AIMessage(str(sum(isinstance(each, HumanMessage) for each in state["messages"])))]}

    scheduler = scheduler_with(chain(MessagesState, count=count).compile())
    scheduler.add_task(hourly(session_keep_runs=2))
    scheduler.start()
    assert [(await run_of(scheduler)).response for _ in range(2)] == ["1", "2"]
    trouble.append("no")
    assert (await run_of(scheduler)).status is RunStatus.FAILED
    assert [(await run_of(scheduler)).response for _ in range(2)] == ["3", "3"]


class Replaced(TypedDict):
    messages: Annotated[list, operator.add]


async def test_a_state_that_cannot_remove_messages(scheduler_with):
    """It is refused where the task is added, once the graph is known."""

    async def node(_state):
        return {"messages": ["x"]}

    scheduler = scheduler_with(chain(Replaced, node=node).compile())
    scheduler.start()
    with pytest.raises(InvalidTaskError, match="needs a state whose `messages` have the reducer add_messages"):
        scheduler.add_task(hourly(session_keep_runs=2))


async def test_an_object_that_is_no_langgraph(new_scheduler):
    """Its run says so."""
    scheduler = new_scheduler(EchoGraph())
    scheduler.add_task(hourly(session_keep_runs=2))
    scheduler.start()
    assert "session_keep_runs is for LangGraph's graphs, and this is a EchoGraph" in (await run_of(scheduler)).error


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"thread_id": "chat"}, "would remove messages of the program's own"),
        ({"session_mode": "per_run"}, "is for conversations of several runs"),
        ({"prompt": None, "input": {"messages": []}}, "is for tasks with a prompt; leave it out, or input"),
        ({"input_builder": "x:y"}, "is for tasks with a prompt; leave it out, or input_builder"),
        ({"session_keep_runs": 0}, "session_keep_runs=0"),
    ],
)
def test_what_does_not_go_together(fields, problem):
    """It is refused before anything is stored."""
    with pytest.raises(ValueError, match=problem):
        hourly(**{"session_keep_runs": 3, **fields})
