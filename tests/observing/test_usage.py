"""The tokens that a run used: those of its own messages, whatever else stands on its thread."""

import pytest
from helpers import EchoGraph, hourly, wait_for_runs, wait_until
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import MessagesState
from langgraph.types import interrupt
from session_kit import chain

from scheduler import TokenUsage
from scheduler.graphs.usage import usage_of


def tokens(read, written):
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}


def used(read, written):
    return TokenUsage(**tokens(read, written))


def scripted(*answers):
    """Return a node that asks a chat model, whose answers use 10 and 1, 20 and 2, … tokens."""
    model = GenericFakeChatModel(
        messages=iter(
            AIMessage(answer, usage_metadata=tokens(10 * number, number)) for number, answer in enumerate(answers, 1)
        )
    )

    async def ask(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    return ask


async def run_once(scheduler, task_id="hourly"):
    """Trigger a task, and return its run when it is over."""
    run_id = scheduler.trigger_task(task_id)
    await wait_until(lambda: scheduler.get_run(run_id).finished_at is not None, scheduler)
    return scheduler.get_run(run_id)


async def test_each_run_of_a_conversation_counts_its_own(new_scheduler, tmp_path):
    """The second run sees the messages of the first, which has the same prompt, and does not count them again."""
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        graph = chain(MessagesState, ask=scripted("one", "two"), again=scripted("more", "and more")).compile(saver)
        scheduler = new_scheduler(graph)
        scheduler.start()
        scheduler.add_task(hourly())
        first, second = await run_once(scheduler), await run_once(scheduler)
        assert (first.usage, second.usage) == (used(20, 2), used(40, 4))
        assert second.response == "and more"
        await scheduler.stop()


async def test_a_run_that_continues_counts_its_earlier_attempts(new_scheduler):
    """What the first attempt used before it failed is in the checkpoint from which the second one continues."""
    failures = [ValueError("not yet")]

    async def fail_once(_state):
        if failures:
            raise failures.pop()
        return {"messages": [AIMessage("done", usage_metadata=tokens(5, 5))]}

    graph = chain(MessagesState, ask=scripted("one", "never asked"), then=fail_once).compile(InMemorySaver())
    scheduler = new_scheduler(graph)
    scheduler.start()
    scheduler.add_task(hourly(max_attempts=2, retry_delay_seconds=0))
    run = await run_once(scheduler)
    assert (run.status, run.attempt, run.resumed) == ("succeeded", 2, True)
    assert run.usage == used(15, 6)


async def test_a_run_that_asks_tells_what_it_used_so_far(new_scheduler):
    """And, once it is answered, all of it; a failure after the answer takes nothing back."""

    async def approve(_state):
        if interrupt("Go on?") == "no":
            raise RuntimeError("no")
        return {"messages": [AIMessage("done", usage_metadata=tokens(7, 1))]}

    graph = chain(MessagesState, ask=scripted("one", "two"), approve=approve).compile(InMemorySaver())
    scheduler = new_scheduler(graph)
    scheduler.start()
    scheduler.add_task(hourly())
    for answer, status, total in [("yes", "succeeded", used(17, 2)), ("no", "failed", used(20, 2))]:
        run_id = scheduler.trigger_task("hourly")
        await wait_until(lambda run_id=run_id: scheduler.get_run(run_id).status == "waiting", scheduler)
        assert scheduler.get_run(run_id).usage == (used(10, 1) if answer == "yes" else used(20, 2))
        scheduler.answer_run(run_id, answer)
        await wait_until(lambda run_id=run_id: scheduler.get_run(run_id).finished_at is not None, scheduler)
        assert (scheduler.get_run(run_id).status, scheduler.get_run(run_id).usage) == (status, total)


async def test_an_agent_with_tools(new_scheduler):
    """Each call of the model counts; the messages of tools tell nothing."""

    @tool
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"Sun in {city}."

    class Model(GenericFakeChatModel):
        def bind_tools(self, tools, **options):
            return self

    call = {"name": "weather", "args": {"city": "Rome"}, "id": "1"}
    messages = [
        AIMessage("", tool_calls=[call], usage_metadata=tokens(100, 10)),
        AIMessage("Sunny.", usage_metadata=tokens(120, 5)),
    ]
    agent = create_agent(Model(messages=iter(messages)), [weather])
    scheduler = new_scheduler(agent)
    scheduler.start()
    scheduler.add_task(hourly())
    assert (await run_once(scheduler)).usage == used(220, 15)


async def test_a_graph_that_tells_nothing(new_scheduler):
    """None, which is not 0; so it is for a run that failed."""
    scheduler = new_scheduler(EchoGraph())
    scheduler.start()
    scheduler.add_task(hourly())
    scheduler.trigger_task("hourly")
    (run,) = await wait_for_runs(scheduler, 1)
    assert (run.status, run.usage) == ("succeeded", None)


OLD = [HumanMessage("Go."), AIMessage("old", usage_metadata=tokens(1, 1))]
NEW = AIMessage("new", usage_metadata=tokens(2, 3))


@pytest.mark.parametrize(
    ("messages", "total"),
    [
        ([NEW], 5),
        ([*OLD, HumanMessage("Go."), NEW], 5),
        ([*OLD, HumanMessage("Go."), NEW, HumanMessage("Critique it.", name="critic"), NEW], 10),
        ([HumanMessage("Built"), OLD[1], HumanMessage("Built again"), NEW], 5),
        ([*OLD, {"role": "user", "content": "Go."}, {"role": "assistant", "usage_metadata": tokens(2, 3)}], 5),
        ([*OLD, {"type": "human", "content": "Go."}, {"type": "ai", "content": "", "usage_metadata": tokens(2, 3)}], 5),
        ([*OLD, ("user", "Go."), NEW], 5),
        ([*OLD, "Go.", NEW], 5),
        ([{"usage_metadata": {"input_tokens": "many", "total_tokens": 5}}, [], [["user"]], {"role": []}, 7], 5),
    ],
)
def test_messages_of_every_kind(messages, total):
    """Objects, mappings as a server sends them, pairs and texts; what makes no sense counts nothing."""
    assert usage_of({"messages": messages}, None, "Go.").total_tokens == total


def test_the_input_of_a_builder():
    """What was really asked comes before the prompt of the task."""
    messages = [*OLD, HumanMessage("Built"), NEW, HumanMessage("Go."), NEW]
    assert usage_of({"messages": messages}, {"messages": [{"role": "user", "content": "Built"}]}, "Go.") == used(4, 6)


@pytest.mark.parametrize("result", [None, "text", {}, {"messages": "text"}, {"messages": [AIMessage("new")]}, 3])
def test_results_that_tell_nothing(result):
    """None."""
    assert usage_of(result, None, "Go.") is None
