"""LangGraph's store, for what graphs remember across conversations: attached as a checkpointer is."""

import pytest
from helpers import EchoGraph, hourly, wait_until
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_store
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph_sdk.runtime import ServerRuntime
from session_kit import asking

from scheduler.errors import GraphError


async def by_parameter(state, *, store: BaseStore):
    """Count how often it was called, in the store."""
    found = await store.aget(("counts",), "n")
    number = 1 if found is None else found.value["n"] + 1
    await store.aput(("counts",), "n", {"n": number})
    return {"messages": [AIMessage(f"{number}")]}


async def by_runtime(state, runtime: Runtime):
    return await by_parameter(state, store=runtime.store)


async def by_function(state):
    return await by_parameter(state, store=get_store())


async def answers(scheduler, times=2, **fields):
    """Return what the runs of a task answer, one after the other, each in a conversation of its own."""
    scheduler.add_task(hourly(session_mode="per_run", **fields))
    scheduler.start()
    found = []
    for _ in range(times):
        run_id = scheduler.trigger_task("hourly")
        await wait_until(lambda run_id=run_id: scheduler.get_run(run_id).finished_at, scheduler)
        run = scheduler.get_run(run_id)
        found.append(run.response if run.error is None else run.error)
    return found


@pytest.mark.parametrize("node", [by_parameter, by_runtime, by_function])
async def test_nodes_are_given_the_store(new_scheduler, node):
    """In each way in which a node can ask for it."""
    assert await answers(new_scheduler(asking(node), store=InMemoryStore())) == ["1", "2"]


WITH_ITS_OWN = """
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

own = InMemoryStore()

async def node(state, *, store: BaseStore):
    return {"messages": [AIMessage(str(store is own))]}

graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(store=own)
"""


async def test_a_store_of_its_own_is_kept_by_the_graph_of_a_task(new_scheduler, tmp_path, monkeypatch):
    """As a checkpointer is."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "with_store_of_its_own.py").write_text(WITH_ITS_OWN)
    scheduler = new_scheduler(asking(by_parameter), store=InMemoryStore())
    assert await answers(scheduler, 1, graph="with_store_of_its_own:graph") == ["True"]


async def test_an_entrypoint_is_given_the_store(new_scheduler):
    """A functional graph asks for it in the same way."""

    @entrypoint()
    async def flow(_given, *, store: BaseStore):
        return (await by_parameter(None, store=store))["messages"][0].content

    assert await answers(new_scheduler(flow, store=InMemoryStore(), input_builder=lambda task: task.prompt)) == [
        "1",
        "2",
    ]


async def test_a_graph_inside_runnables_is_given_the_store(new_scheduler):
    """Wherever the graph stands in them."""
    runnable = RunnableLambda(lambda given: given) | asking(by_parameter).with_retry()
    assert await answers(new_scheduler(runnable, store=InMemoryStore())) == ["1", "2"]


async def test_a_factory_is_given_the_store(new_scheduler):
    """As LangGraph's server gives it, and so is the graph that it makes."""
    store, seen = InMemoryStore(), []

    async def make(runtime: ServerRuntime):
        seen.append(runtime.store is store)
        return StateGraph(MessagesState).add_node("n", by_parameter).add_edge(START, "n").compile()

    assert await answers(new_scheduler(make, store=store)) == ["1", "2"]
    assert set(seen) == {True}


async def test_a_graph_that_takes_no_store(new_scheduler):
    """It is refused at the start, with the way out."""
    with pytest.raises(GraphError, match="it is a EchoGraph, which takes no store; leave store= out"):
        new_scheduler(EchoGraph(), store=InMemoryStore()).start()
