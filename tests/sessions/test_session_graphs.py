"""Graphs of other kinds: functional entrypoints, other state keys, contexts, limits, synchronous nodes."""

import asyncio
import sys
import threading
from dataclasses import dataclass

import pytest
from helpers import EchoGraph, hourly, wait_for_runs, wait_until
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from session_kit import chain, counting
from typing_extensions import TypedDict

from scheduler import RunStatus, TaskDefinition


async def only_run(scheduler, **fields):
    """Run a task; return how that ended."""
    scheduler.add_task(hourly(**fields))
    scheduler.start()
    scheduler.trigger_task("hourly")
    (run,) = await wait_for_runs(scheduler, 1)
    return run


# --- Functional entrypoints ---


async def test_a_functional_entrypoint_remembers(scheduler_with):
    """What it returned last time is `previous`; the saver is attached as to any graph."""

    @entrypoint()
    async def remember(given, *, previous=None):
        return (previous or []) + [message["content"] for message in given["messages"]]

    scheduler = scheduler_with(remember)
    await only_run(scheduler, prompt="Hello.")
    scheduler.trigger_task("hourly")
    newest, _ = await wait_for_runs(scheduler, 2)
    assert (newest.status, newest.response) == (RunStatus.SUCCEEDED, '["Hello.", "Hello."]')


async def test_a_functional_entrypoint_asks_and_is_retried(scheduler_with):
    """It waits for its answer; tasks of it that are done are not done again."""
    calls = []

    @task
    async def research(topic):
        calls.append(topic)
        return f"All about {topic}"

    @entrypoint()
    async def write(given):
        found = await research(given["messages"][-1]["content"])
        answer = interrupt("Publish?")
        if calls[-1] != "failed":
            calls.append("failed")
            message = "once"
            raise ValueError(message)
        return f"{found}: {answer}"

    scheduler = scheduler_with(write)
    scheduler.add_task(hourly(prompt="cats", max_attempts=2, retry_delay_seconds=0))
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    await wait_until(lambda: scheduler.get_run(run_id).status is RunStatus.WAITING, scheduler)
    scheduler.answer_run(run_id, "yes")
    (run,) = await wait_for_runs(scheduler, 1)
    assert (run.status, run.response, run.attempt) == (RunStatus.SUCCEEDED, "All about cats: yes", 3)
    assert calls == ["cats", "failed"]


# --- Other inputs ---


class Topic(TypedDict):
    topic: str
    depth: int


def research():
    async def node(state):
        return {"topic": f"{state['topic']} in depth {state['depth']}"}

    return chain(Topic, node=node).compile()


def build_topic(definition: TaskDefinition):
    return {"topic": definition.prompt, "depth": definition.metadata.get("depth", 1)}


async def build_slowly(_definition):
    """No builder: it would have to be awaited."""


@pytest.mark.parametrize("builder", [build_topic, f"{__name__}.build_topic"], ids=["function", "path"])
async def test_an_input_builder_of_the_scheduler(new_scheduler, builder):
    """A function or its dotted path makes the input of a graph that has no `messages`."""
    scheduler = new_scheduler(research(), input_builder=builder)
    run = await only_run(scheduler, prompt="Cats", metadata={"depth": 3})
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, '{"topic": "Cats in depth 3", "depth": 3}')


async def test_an_input_builder_of_a_task(new_scheduler):
    """It takes the place of the scheduler's."""
    scheduler = new_scheduler(research(), input_builder=lambda _task: {"topic": "Dogs", "depth": 9})
    run = await only_run(scheduler, prompt="Cats", input_builder=f"{__name__}.build_topic")
    assert "Cats in depth 1" in run.response


async def test_an_input_builder_that_raises(new_scheduler):
    """The run fails with what it raised; others continue."""
    scheduler = new_scheduler(research(), input_builder=lambda task: {"topic": task.metadata["topic"], "depth": 1})
    run = await only_run(scheduler)
    assert (run.status, run.error) == (RunStatus.FAILED, "KeyError: 'topic'")


@pytest.mark.parametrize("builder", [build_slowly, 7, f"{__name__}.build_slowly"], ids=["async", "number", "path"])
async def test_what_is_no_input_builder(new_scheduler, builder):
    """It is refused at the start; the error says how to fix it."""
    scheduler = new_scheduler(research(), input_builder=builder)
    with pytest.raises(ValueError, match="is not a plain function; give a function that takes the task"):
        scheduler.start()


async def test_a_task_with_what_is_no_input_builder(new_scheduler):
    """It is refused when it is added."""
    scheduler = new_scheduler()
    for path in (f"{__name__}.build_slowly", f"{__name__}.nobody"):
        with pytest.raises(ValueError, match=f"Task hourly: input_builder='{path}'"):
            scheduler.add_task(hourly(input_builder=path))


# --- What is passed on ---


@dataclass
class User:
    name: str
    language: str = "en"


def greeting():
    async def node(_state, runtime: Runtime[User]):
        return {"messages": [AIMessage(f"{runtime.context.name}, {runtime.context.language}")]}

    builder = StateGraph(MessagesState, context_schema=User)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


async def test_a_context(new_scheduler):
    """The scheduler's, an object, for tasks that give none; a task's, JSON, becomes what the graph's schema says."""
    scheduler = new_scheduler(greeting(), context=User("Ada"))
    assert (await only_run(scheduler)).response == "Ada, en"
    scheduler.add_task(hourly(context={"name": "Karl", "language": "de"}))
    scheduler.trigger_task("hourly")
    assert (await wait_for_runs(scheduler, 2))[0].response == "Karl, de"


async def test_a_recursion_limit(new_scheduler):
    """Five steps are too many for a limit of three; the task's limit takes the place of the scheduler's."""

    async def node(_state):
        return {}

    scheduler = new_scheduler(chain(MessagesState, **dict.fromkeys("abcde", node)).compile(), recursion_limit=3)
    run = await only_run(scheduler)
    assert (run.status, run.error.split(":")[0]) == (RunStatus.FAILED, "GraphRecursionError")
    scheduler.add_task(hourly(recursion_limit=10))
    scheduler.trigger_task("hourly")
    assert (await wait_for_runs(scheduler, 2))[0].status is RunStatus.SUCCEEDED


class Recording(EchoGraph):
    """Remembers what it is called with beside input and config."""

    async def ainvoke(self, given, config=None, **options):
        self.options = options
        return await super().ainvoke(given, config)


@pytest.mark.parametrize(
    ("scheduler_says", "task_says", "passed"),
    [(None, None, {}), ("async", None, {"durability": "async"}), ("async", "exit", {"durability": "exit"})],
)
async def test_a_durability(new_scheduler, scheduler_says, task_says, passed):
    """It is passed on where somebody says so; a task's takes the place of the scheduler's."""
    graph = Recording()
    await only_run(new_scheduler(graph, durability=scheduler_says), durability=task_says)
    assert graph.options == passed


async def test_steps_are_kept_before_the_next_begins(new_scheduler):
    """Where there is a checkpointer and nobody says otherwise; `exit` keeps the last alone."""
    kept = []

    class Saver(InMemorySaver):
        async def aput(self, config, checkpoint, metadata, new_versions):
            kept.append(metadata["step"])
            return await super().aput(config, checkpoint, metadata, new_versions)

    async def node(_state):
        seen.append(len(kept))
        return {}

    seen = []
    scheduler = new_scheduler(chain(MessagesState, a=node, b=node).compile(), checkpointer=Saver())
    await only_run(scheduler)
    assert seen[1] == seen[0] + 1
    kept.clear()
    scheduler.add_task(hourly(durability="exit"))
    scheduler.trigger_task("hourly")
    await wait_for_runs(scheduler, 2)
    assert seen[2:] == [0, 0]


async def test_a_graph_of_a_task_that_takes_nothing_more(new_scheduler, monkeypatch):
    """What is meant for graphs with a checkpointer is not passed to others, also before the graph was first seen."""
    monkeypatch.setattr(sys.modules[__name__], "graph", EchoGraph(), raising=False)
    run = await only_run(new_scheduler(counting(), checkpointer=InMemorySaver()), graph=f"{__name__}:graph")
    assert (run.status, run.error) == (RunStatus.SUCCEEDED, None)


async def test_a_graph_of_a_task_keeps_its_own_saver(new_scheduler, monkeypatch):
    """The scheduler's saver is for graphs that bring none."""
    own, schedulers = InMemorySaver(), InMemorySaver()
    module = sys.modules[__name__]
    monkeypatch.setattr(module, "graph", counting().copy(update={"checkpointer": own}), raising=False)
    run = await only_run(new_scheduler(counting(), checkpointer=schedulers), graph=f"{__name__}:graph")
    config = {"configurable": {"thread_id": run.thread_id}}
    assert (await own.aget_tuple(config), await schedulers.aget_tuple(config)) != (None, None)
    assert await schedulers.aget_tuple(config) is None


# --- Synchronous nodes ---


async def test_synchronous_nodes_do_not_wait_for_one_another(new_scheduler):
    """With `sync_node_threads` so many of them work at once: all of these meet, or none gets on."""
    number = 24
    meeting = threading.Barrier(number)

    def node(_state):
        meeting.wait(20)
        return {"messages": [AIMessage("met")]}

    scheduler = new_scheduler(
        chain(MessagesState, node=node).compile(), max_concurrent_runs=number, sync_node_threads=number
    )
    scheduler.add_tasks([hourly(f"t{each}") for each in range(number)])
    scheduler.start()
    for each in range(number):
        scheduler.trigger_task(f"t{each}")
    runs = await wait_for_runs(scheduler, number)
    assert {run.response for run in runs} == {"met"}


async def test_the_loop_is_left_as_it_is(new_scheduler):
    """Nobody who did not ask gets another default executor."""
    loop = asyncio.get_running_loop()
    await asyncio.to_thread(threading.get_ident)
    before = loop._default_executor
    new_scheduler().start()
    assert loop._default_executor is before


@pytest.mark.parametrize("number", [0, -1, 2.5, True])
def test_a_number_of_threads_that_makes_no_sense(number, new_scheduler):
    """It is refused like other numbers."""
    with pytest.raises(ValueError, match=f"sync_node_threads={number}"):
        new_scheduler(sync_node_threads=number)
