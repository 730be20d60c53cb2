"""Checkpoints that nobody needs are deleted after a run, and nothing else."""

import asyncio
import sys
import types

import pytest
from helpers import PATIENCE, hourly, wait_until
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from session_kit import chain, counting, saver_at

from scheduler import RunStatus


@pytest.fixture
async def kept_in(place):
    """Return a saver on each of the two databases."""
    async with saver_at(place) as saver:
        yield saver


async def checkpoints(saver, thread_id, namespace=""):
    config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}}
    return [each async for each in saver.alist(config)]


async def run_of(scheduler, task_id="hourly"):
    run_id = scheduler.trigger_task(task_id)
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id)


async def test_only_the_last_run_keeps_its_checkpoints(new_scheduler, kept_in):
    """However many runs there were: beside them, one is left, from which it began; the conversation is whole."""
    scheduler = new_scheduler(counting(), checkpointer=kept_in)
    scheduler.add_task(hourly())
    scheduler.start()
    numbers = []
    for expected in ("1", "3", "5", "7"):
        assert (await run_of(scheduler)).response == expected
        numbers.append(len(await checkpoints(kept_in, "scheduler-task:hourly")))
    assert numbers == [3, 4, 4, 4]


async def test_a_run_that_is_cancelled_after_its_graph_has_returned(new_scheduler, kept_in, monkeypatch):
    """While its callback works: the run did not succeed, and the conversation is that of the runs before it."""
    entered = asyncio.Event()

    async def callback(task, result):
        entered.set()
        await asyncio.Event().wait()

    name = f"callback_for_{type(kept_in).__name__}"  # a callback is loaded once
    module = types.ModuleType(name)
    module.callback = callback
    monkeypatch.setitem(sys.modules, name, module)
    scheduler = new_scheduler(counting(), checkpointer=kept_in)
    scheduler.add_task(hourly())
    scheduler.start()
    assert [(await run_of(scheduler)).response for _ in range(2)] == ["1", "3"]
    scheduler.add_task(hourly(result_callback=f"{name}:callback"))
    run_id = scheduler.trigger_task("hourly")
    await asyncio.wait_for(entered.wait(), PATIENCE)
    scheduler.cancel_run(run_id)
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    assert scheduler.get_run(run_id).status is RunStatus.CANCELLED
    scheduler.add_task(hourly())
    assert (await run_of(scheduler)).response == "5"


async def test_graphs_inside_nodes(new_scheduler, kept_in):
    """What a graph in a node has left goes, unless it remembers by itself: then its last checkpoint stays."""
    forgetful = counting()
    remembering = chain(MessagesState, count=counting_node).compile(checkpointer=True)
    builder = StateGraph(MessagesState).add_node("forgetful", forgetful).add_node("remembering", remembering)
    graph = builder.add_edge(START, "forgetful").add_edge("forgetful", "remembering").compile()
    scheduler = new_scheduler(graph, checkpointer=kept_in)
    scheduler.add_task(hourly())
    scheduler.start()
    responses = [(await run_of(scheduler)).response for _ in range(3)]
    everything = [each async for each in kept_in.alist({"configurable": {"thread_id": "scheduler-task:hourly"}})]
    assert responses == ["2", "5", "8"]
    spaces = sorted(each.config["configurable"]["checkpoint_ns"] for each in everything)
    assert spaces.count("") == 5
    assert len({each for each in spaces if each.startswith("forgetful:")}) == 1, "of the last run alone"


async def counting_node(state):
    return {"messages": [AIMessage(str(len(state["messages"])))]}


async def test_what_a_failed_run_begins_behind_stays(new_scheduler, kept_in):
    """The next run after failures has the conversation of those that succeeded."""
    trouble = []

    async def node(state):
        if trouble:
            raise OSError(trouble.pop())
        return {"messages": [AIMessage(str(len(state["messages"])))]}

    scheduler = new_scheduler(chain(MessagesState, node=node).compile(), checkpointer=kept_in)
    scheduler.add_task(hourly())
    scheduler.start()
    assert (await run_of(scheduler)).response == "1"
    trouble += ["no", "no"]
    assert {(await run_of(scheduler)).status for _ in range(2)} == {RunStatus.FAILED}
    assert len(await checkpoints(kept_in, "scheduler-task:hourly")) > 1
    assert [(await run_of(scheduler)).response for _ in range(2)] == ["3", "5"]
    assert len(await checkpoints(kept_in, "scheduler-task:hourly")) == 4


async def test_open_runs_keep_all(new_scheduler, kept_in):
    """A run that waits is continued from where it asked."""

    async def ask(_state):
        return {"messages": [AIMessage(str(interrupt("Go on?")))]}

    scheduler = new_scheduler(chain(MessagesState, count=counting_node, ask=ask).compile(), checkpointer=kept_in)
    scheduler.add_task(hourly())
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    await wait_until(lambda: scheduler.get_run(run_id).status is RunStatus.WAITING, scheduler)
    assert len(await checkpoints(kept_in, "scheduler-task:hourly")) > 1
    scheduler.answer_run(run_id, "yes")
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    assert scheduler.get_run(run_id).response == "yes"


@pytest.mark.parametrize("why", ["asked to", "a thread of the program's own", "another saver"])
async def test_what_is_left_alone(new_scheduler, kept_in, why):
    """All checkpoints stay."""
    saver = InMemorySaver() if why == "another saver" else kept_in
    scheduler = new_scheduler(counting(), checkpointer=saver, thin_checkpoints=why != "asked to")
    fields = {"thread_id": "chat"} if "own" in why else {}
    scheduler.add_task(hourly(**fields))
    scheduler.start()
    runs = [await run_of(scheduler) for _ in range(2)]
    assert len(await checkpoints(saver, runs[0].thread_id)) == 6


async def test_a_saver_that_fails_does_not_fail_the_run(new_scheduler, kept_in, caplog, monkeypatch):
    """The log says that the checkpoints are still there."""
    from scheduler.graphs import thinning

    async def fail(*_, **_options):
        raise OSError("no disk")

    monkeypatch.setattr(thinning, "_thin_out_sqlite", fail)
    if hasattr(kept_in, "aprune"):
        monkeypatch.setattr(kept_in, "aprune", fail)
    scheduler = new_scheduler(counting(), checkpointer=kept_in)
    scheduler.add_task(hourly())
    scheduler.start()
    assert [(await run_of(scheduler)).status for _ in range(2)] == [RunStatus.SUCCEEDED] * 2
    assert "Thread scheduler-task:hourly: its old checkpoints were not deleted: OSError: no disk" in caplog.text
