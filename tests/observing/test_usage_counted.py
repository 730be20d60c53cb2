"""Tokens are counted call by call: whatever a graph returns, and whatever becomes of the attempt."""

import asyncio

import pytest
from helpers import hourly, wait_until
from langchain.agents import create_agent
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, Generation, LLMResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send, interrupt
from session_kit import chain
from typing_extensions import TypedDict

from scheduler import RunStatus, TokenUsage
from scheduler.graphs.usage_callback import usage_callback
from scheduler.meter import Meter


class Model(GenericFakeChatModel):
    """Says what was written for it, and takes tools."""

    def bind_tools(self, _tools, **_options):
        return self


def model(*answers, read=10, written=1):
    """Return a model each of whose calls uses so many tokens."""
    usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    made = [AIMessage(each, usage_metadata=usage) if isinstance(each, str) else each for each in answers]
    return Model(messages=iter(made))


def used(read, written):
    return TokenUsage(input_tokens=read, output_tokens=written, total_tokens=read + written)


async def run_of(scheduler, task_id="hourly"):
    run_id = scheduler.trigger_task(task_id)
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id)


@pytest.fixture
async def used_by(new_scheduler):
    """Return what runs a graph once, and returns the run."""

    async def run(graph, **fields):
        scheduler = new_scheduler(graph)
        scheduler.add_task(hourly(**fields))
        scheduler.start()
        return await run_of(scheduler)

    return run


class Research(TypedDict, total=False):
    messages: list
    topic: str
    report: str


async def test_calls_whose_answers_are_not_returned(used_by):
    """A graph that plans, searches in parallel and writes counts all of it, whatever its output schema holds."""
    planner, searcher, writer = model("plan"), model(*"abc", read=100, written=20), model("report", read=50)

    async def plan(state):
        await planner.ainvoke("Plan.")
        return {"topic": state["messages"][-1]["content"]}

    async def search(state):
        await searcher.ainvoke(state["topic"])
        return {}

    def write(_state):
        return {"report": writer.invoke("Write.").content}  # in a thread

    graph = StateGraph(Research, output_schema=TypedDict("Report", {"report": str}))
    graph.add_node("plan", plan)
    graph.add_node("search", search)
    graph.add_node("write", write)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", lambda state: [Send("search", state)] * 3, ["search"])
    graph.add_edge("search", "write")
    run = await used_by(graph.compile())
    assert (run.response, run.usage) == ('{"report": "report"}', used(10 + 300 + 50, 1 + 60 + 1))


async def test_agents_that_call_agents(used_by):
    """A sub-agent behind a tool counts, though only its last words come back."""
    inner = create_agent(model("thinking", "found"), [])

    @tool
    async def ask_expert(question: str) -> str:
        """Ask an expert."""
        await inner.ainvoke({"messages": [("user", "Think.")]})
        return (await inner.ainvoke({"messages": [("user", question)]}))["messages"][-1].content

    call = {"name": "ask_expert", "args": {"question": "Why?"}, "id": "1"}
    usage = {"input_tokens": 5, "output_tokens": 5, "total_tokens": 10}
    outer = model(AIMessage("", tool_calls=[call], usage_metadata=usage), AIMessage("So.", usage_metadata=usage))
    run = await used_by(create_agent(outer, [ask_expert]))
    assert (run.response, run.usage) == ("So.", used(2 * 5 + 2 * 10, 2 * 5 + 2 * 1))


def failing(times, error=ValueError):
    """Return a node that fails so many times."""
    left = [times]

    async def fail(_state):
        if left[0]:
            left[0] -= 1
            raise error("no")
        return {"messages": [AIMessage("done")]}

    return fail


def asking(chat):
    async def ask(state):
        return {"messages": [await chat.ainvoke(state["messages"])]}

    return ask


@pytest.mark.parametrize("from_start", [True, False])
async def test_attempts_are_added(used_by, from_start):
    """A failed attempt has spent, also if the next one begins again; one that continues spends nothing twice."""
    graph = chain(MessagesState, ask=asking(model(*"abc")), fail=failing(2)).compile(InMemorySaver())
    run = await used_by(graph, max_attempts=3, retry_delay_seconds=0, retry_from_start=from_start)
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 3)
    assert run.usage == (used(30, 3) if from_start else used(10, 1))


async def test_a_run_that_fails_has_spent(used_by):
    """So do its attempts before."""
    graph = chain(MessagesState, ask=asking(model(*"ab")), fail=failing(9)).compile()
    run = await used_by(graph, max_attempts=2, retry_delay_seconds=0)
    assert (run.status, run.usage) == (RunStatus.FAILED, used(20, 2))


async def hang(_state):
    await asyncio.Event().wait()


async def test_a_run_that_takes_too_long_has_spent(used_by):
    """What it used before its time was over."""
    graph = chain(MessagesState, ask=asking(model("a")), hang=hang).compile()
    run = await used_by(graph, timeout_seconds=3)
    assert (run.status, run.usage) == (RunStatus.TIMED_OUT, used(10, 1))


@pytest.mark.parametrize("end", ["cancel", "stop"])
async def test_a_run_that_is_cut_off_has_spent(new_scheduler, end):
    """By `cancel_run`, and by the end of the program."""
    entered = asyncio.Event()

    async def wait(_state):
        entered.set()
        await asyncio.Event().wait()

    graph = chain(MessagesState, ask=asking(model("a")), wait=wait).compile()
    scheduler = new_scheduler(graph, shutdown_grace_seconds=0)
    scheduler.add_task(hourly())
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    await entered.wait()
    if end == "stop":
        await scheduler.stop()
    else:
        scheduler.cancel_run(run_id)
        await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    expected = RunStatus.INTERRUPTED if end == "stop" else RunStatus.CANCELLED
    assert (scheduler.get_run(run_id).status, scheduler.get_run(run_id).usage) == (expected, used(10, 1))


async def test_a_run_that_waits_and_goes_on(new_scheduler):
    """It shows what it has used so far; the answer's attempt is added, and nothing is counted twice."""

    async def approve(_state):
        return {"messages": [AIMessage(str(interrupt("Go on?")))]}

    chats = [asking(model("a")), asking(model("b"))]
    graph = chain(MessagesState, one=chats[0], approve=approve, two=chats[1]).compile(InMemorySaver())
    scheduler = new_scheduler(graph)
    scheduler.add_task(hourly())
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    await wait_until(lambda: scheduler.get_run(run_id).status is RunStatus.WAITING, scheduler)
    assert scheduler.get_run(run_id).usage == used(10, 1)
    scheduler.answer_run(run_id, "yes")
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    assert scheduler.get_run(run_id).usage == used(20, 2)


class Streaming(Model):
    """Streams its answer, whose last chunk tells what it used."""

    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
        for text, told in (("Hel", None), ("lo", usage)):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text, usage_metadata=told))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stream_counts_once(used_by, stream):
    """Whether the graph streams from its model, and whether the scheduler streams the graph's steps."""

    async def ask(_state):
        return {"messages": [AIMessage("".join([each.content async for each in chat.astream("Hi")]))]}

    chat = Streaming(messages=iter(()))
    run = await used_by(chain(MessagesState, ask=ask).compile(), stream=stream)
    assert (run.response, run.usage) == ("Hello", used(7, 3))


async def test_an_answer_from_the_cache_costs_nothing(used_by):
    """The second call is not made."""
    chat = model("a", "b")
    chat.cache = InMemoryCache()

    async def ask(_state):
        await chat.ainvoke("Hi")
        return {"messages": [await chat.ainvoke("Hi")]}

    run = await used_by(chain(MessagesState, ask=ask).compile())
    assert (run.response, run.usage) == ("a", used(10, 1))


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"token_usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}, used(3, 4)),
        ({"token_usage": {"prompt_tokens": 3, "completion_tokens": 4}}, used(3, 4)),
        ({"token_usage": "many"}, None),
        ({"token_usage": {"prompt_tokens": -3, "completion_tokens": 10**30}}, None),
        (None, None),
    ],
)
def test_models_that_are_no_chat_models(told, usage):
    """What they tell beside their answer counts; what cannot be read does not."""
    meter = Meter()
    usage_callback(meter).on_llm_end(LLMResult(generations=[[Generation(text="x")]], llm_output=told))
    assert meter.usage == usage


def test_a_call_that_is_cut_off():
    """What was generated before counts, if it is told."""
    meter = Meter(used(1, 1))
    usage_callback(meter).on_llm_error(OSError(), response=LLMResult(generations=[]))
    usage_callback(meter).on_llm_error(OSError())
    assert meter.usage == used(1, 1)
