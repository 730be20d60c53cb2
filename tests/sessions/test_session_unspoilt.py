"""What an unsuccessful run has left on its thread does not spoil the runs after it."""

import asyncio

import pytest
from helpers import hourly, wait_until
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph

from scheduler import RunStatus


class Agent:
    """A model that refuses a history as providers do, and a tool that may fail or take too long."""

    def __init__(self):
        self.trouble = None
        self.entered = asyncio.Event()

    def graph(self):
        return (
            StateGraph(MessagesState)
            .add_node("model", self.model)
            .add_node("tool", self.tool)
            .add_edge(START, "model")
            .add_conditional_edges("model", self.after_model, ["tool", "__end__"])
            .add_edge("tool", "model")
            .compile()
        )

    async def model(self, state):
        messages = state["messages"]
        calls = {call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls}
        answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
        if calls - answered:
            message = "400: tool_calls must be followed by tool messages"
            raise ValueError(message)
        if isinstance(messages[-1], ToolMessage):
            said = sum(isinstance(message, HumanMessage) for message in messages)
            return {"messages": [AIMessage(f"Sunny, the {said}.")]}
        call = {"name": "weather", "args": {}, "id": f"call-{len(messages)}-{id(state)}"}
        return {"messages": [AIMessage("", tool_calls=[call])]}

    def after_model(self, state):
        return "tool" if state["messages"][-1].tool_calls else "__end__"

    async def tool(self, state):
        self.entered.set()
        if self.trouble == "fails":
            message = "no such city"
            raise OSError(message)
        if self.trouble == "hangs":
            await asyncio.sleep(60)
        return {"messages": [ToolMessage("sunny", tool_call_id=state["messages"][-1].tool_calls[0]["id"])]}


async def run_of(scheduler, task_id="t"):
    run_id = scheduler.trigger_task(task_id)
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id)


@pytest.mark.parametrize("healthy_before", [0, 2])
@pytest.mark.parametrize(
    ("trouble", "fields", "ends"),
    [
        ("fails", {}, RunStatus.FAILED),
        ("fails", {"durability": "exit"}, RunStatus.FAILED),
        ("fails", {"durability": "async", "max_attempts": 2, "retry_delay_seconds": 0}, RunStatus.FAILED),
        ("hangs", {"timeout_seconds": 0.1}, RunStatus.TIMED_OUT),
    ],
    ids=["fails", "fails, saved at the exit", "fails twice", "hangs"],
)
async def test_a_run_that_fails_does_not_spoil_its_conversation(scheduler_with, healthy_before, trouble, fields, ends):
    """However many fail: the next one has the messages of those that succeeded, and none of those that did not."""
    agent = Agent()
    scheduler = scheduler_with(agent.graph())
    scheduler.add_task(hourly("t", **{**fields, "timeout_seconds": None}))  # a busy machine may take its time
    scheduler.start()
    healthy = [(await run_of(scheduler)).response for _ in range(healthy_before)]
    scheduler.add_task(hourly("t", **fields))
    agent.trouble = trouble
    assert [(await run_of(scheduler)).status for _ in range(2)] == [ends, ends]
    agent.trouble = None
    scheduler.add_task(hourly("t"))
    healthy += [(await run_of(scheduler)).response for _ in range(2)]
    assert healthy == [f"Sunny, the {number}." for number in range(1, healthy_before + 3)]


async def test_a_run_that_is_cancelled_does_not_spoil_its_conversation(scheduler_with):
    """While its tool works."""
    agent = Agent()
    scheduler = scheduler_with(agent.graph())
    scheduler.add_task(hourly("t"))
    scheduler.start()
    agent.trouble = "hangs"
    run_id = scheduler.trigger_task("t")
    await agent.entered.wait()
    scheduler.cancel_run(run_id)
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    agent.trouble = None
    run = await run_of(scheduler)
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, "Sunny, the 1.")


async def test_what_others_wrote_to_the_thread_stays(scheduler_with, saver):
    """A program that has put the conversation in order after a failure knows better."""
    agent = Agent()
    scheduler = scheduler_with(agent.graph())
    scheduler.add_task(hourly("t"))
    scheduler.start()
    agent.trouble = "fails"
    failed = await run_of(scheduler)
    agent.trouble = None
    own = agent.graph().copy(update={"checkpointer": saver})
    config = {"configurable": {"thread_id": failed.thread_id}}
    (call,) = (await own.aget_state(config)).values["messages"][-1].tool_calls
    repaired = [ToolMessage("unknown", tool_call_id=call["id"]), AIMessage("I cannot say.")]
    await own.aupdate_state(config, {"messages": repaired}, as_node="model")
    run = await run_of(scheduler)
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, "Sunny, the 2.")
