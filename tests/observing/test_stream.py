"""Streamed runs: the result is that of `ainvoke`, and each step is reported while the run is running."""

import asyncio
import json
import operator
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from helpers import PATIENCE, EchoGraph, hourly, one_time, wait_until
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.func import task as graph_task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from observing_kit import Listening
from pydantic import BaseModel
from runner_kit import a_claim, a_runner, a_task
from session_kit import Gate, Steps, approve, asking, chain
from typing_extensions import TypedDict

from scheduler.graphs.streaming import stream_graph

ROOT = Path(__file__).parent.parent.parent


# --- The result is that of ainvoke ---


class Both(TypedDict):
    messages: Annotated[list, operator.add]
    secret: str


class Answer(TypedDict):
    messages: list


class Model(BaseModel):
    messages: list = []
    number: int = 0


class Context(TypedDict):
    team: str


async def say(state):
    return {"messages": [AIMessage("said", id="1")]}


def say_synchronously(state):
    return {"messages": [AIMessage("said", id="2")]}


async def nothing(state):
    return None


def two_schemas():
    builder = StateGraph(Both, output_schema=Answer)
    builder.add_node("say", lambda state: {"messages": ["said"], "secret": "hidden"})
    builder.add_edge(START, "say")
    return builder.compile()


def with_model():
    builder = StateGraph(Model)
    builder.add_node("count", lambda state: {"number": state.number + 1})
    builder.add_edge(START, "count")
    return builder.compile()


def going_to():
    builder = StateGraph(MessagesState)
    builder.add_node("choose", lambda state: Command(goto="there", update={"messages": [AIMessage("to", id="3")]}))
    builder.add_node("there", say)
    builder.add_edge(START, "choose")
    return builder.compile()


def nested():
    inner = chain(MessagesState, inner=say).compile()
    return chain(MessagesState, outer=inner, after=say_synchronously).compile()


def functional():
    @graph_task
    async def double(text):
        return text * 2

    @entrypoint()
    async def main(given):
        first = await double(given["messages"][-1]["content"])
        return {"messages": [AIMessage(await double(first), id="4")]}

    return main


def functional_text():
    @entrypoint()
    async def main(given):
        return "only text"

    return main


async def also(_state):
    return {"messages": [AIMessage(f"Also {interrupt('Also?')!r}.", id="5")]}


def of_context():
    async def team(state, runtime):
        return {"messages": [AIMessage(runtime.context["team"], id="6")]}

    builder = StateGraph(MessagesState, context_schema=Context)
    builder.add_node("team", team)
    builder.add_edge(START, "team")
    return builder.compile()


def stopping_before():
    return chain(MessagesState, a=say, b=say_synchronously).compile(InMemorySaver(), interrupt_before=["b"])


KINDS = {
    "one node": (lambda: chain(MessagesState, say=say).compile(), ["say"]),
    "a synchronous node": (lambda: chain(MessagesState, say=say_synchronously).compile(), ["say"]),
    "a node that returns nothing": (lambda: chain(MessagesState, nothing=nothing).compile(), ["nothing"]),
    "another output": (two_schemas, ["say"]),
    "a pydantic state": (with_model, ["count"]),
    "a command": (going_to, ["choose", "there"]),
    "a graph in a graph": (nested, ["outer", "after"]),
    "a functional graph": (functional, ["double", "double", "main"]),
    "a functional graph that returns text": (functional_text, ["main"]),
    "a question": (lambda: chain(MessagesState, say=say, approve=approve).compile(InMemorySaver()), ["say"]),
    "two questions": (lambda: asking(approve, also).copy(update={"checkpointer": InMemorySaver()}), []),
    "a question without a checkpointer": (lambda: chain(MessagesState, say=say, approve=approve).compile(), ["say"]),
    "a context": (of_context, ["team"]),
    "a breakpoint": (stopping_before, ["a"]),
}


def comparable(result):
    """Return a result without what differs from call to call: ids of interrupts and of the input's messages."""
    if isinstance(result, list):
        return [comparable(each) for each in result]
    if isinstance(result, dict):
        return {key: comparable(value) for key, value in result.items()}
    if hasattr(result, "value") and hasattr(result, "id"):
        return ("interrupt", result.value)
    return (result.type, result.content) if hasattr(result, "content") else result


@pytest.mark.parametrize("kind", KINDS)
async def test_the_result_is_that_of_ainvoke(kind):
    """Also the interrupts, of graphs of every kind; and each node that has returned is a step."""
    make, expected = KINDS[kind]
    given = {"messages": [{"role": "user", "content": "Go."}]}
    options = {"context": {"team": "ops"}} if kind == "a context" else {}

    def config():
        return {"configurable": {"thread_id": "1"}}

    steps = []
    plain = await make().ainvoke(given, config(), **options)
    streamed = await stream_graph(make(), given, config(), options, steps.append)
    assert comparable(streamed) == comparable(plain)
    assert type(streamed) is type(plain)
    assert steps == expected


@pytest.mark.parametrize("options", [{"durability": "exit"}, {"durability": "sync"}, {"recursion_limit": 3}])
async def test_the_options_of_a_task_are_passed_on(options):
    """As they are without `stream`, also the limit that fails the run."""
    builder = chain(MessagesState, **dict.fromkeys("abcde", say))
    outcomes = []
    for stream in (False, True):
        runner = a_runner(builder.compile(InMemorySaver()))
        outcomes.append(await runner.run(a_claim(a_task(stream=stream, **options))))
    plain, streamed = outcomes
    assert (streamed.status, streamed.response, streamed.error) == (plain.status, plain.response, plain.error)
    assert ("Recursion" in (streamed.error or "")) == ("recursion_limit" in options)


async def test_a_streamed_run_stops_at_a_step_and_continues(new_scheduler, db_path):
    """The stop asks the graph to end after its step; the next start continues with the step after it."""
    steps = Steps()
    gate = steps.gates["b"] = Gate()
    saver = InMemorySaver()
    first = new_scheduler(steps.graph(), checkpointer=saver, shutdown_grace_seconds=PATIENCE)
    first.start()
    first.add_task(one_time(stream=True))
    await gate.entered.wait()
    stopping = first.stop()
    gate.opened.set()
    await stopping
    second = new_scheduler(steps.graph(), checkpointer=saver)
    second.start()
    await wait_until(lambda: second.list_runs()[0].finished_at is not None, second)
    (run,) = second.list_runs()
    assert (steps.done, run.status, run.resumed, run.current_step) == (["a", "b", "c"], "succeeded", True, "c")


async def test_a_streamed_run_times_out(new_scheduler, recorder):
    """And tells how far it came."""
    steps = Steps()
    steps.gates["b"] = lambda _state: asyncio.Event().wait()
    scheduler = new_scheduler(steps.graph())
    scheduler.add_listener(recorder)
    scheduler.start()
    scheduler.add_task(one_time(stream=True, timeout_seconds=1))
    (event,) = await recorder.wait_for("timed_out")
    assert event.run.current_step == "a"


async def test_parts_as_a_server_sends_them():
    """With their id, messages as dicts, and the interrupts among the values as well."""

    class Remote:
        async def astream(self, given, config, *, stream_mode=None):
            assert stream_mode == ["updates", "values"]
            message = {"type": "ai", "content": "from afar"}
            yield "values", {"messages": []}, "1"
            yield "updates", {"a": {"messages": [message]}}, "2"
            yield "values", {"messages": [message]}, "3"
            yield "updates", {"__interrupt__": [{"id": "i", "value": "Go on?"}]}, "4"
            yield "values", {"messages": [message], "__interrupt__": [{"id": "i", "value": "Go on?"}]}, None

    steps = []
    result = await stream_graph(Remote(), {}, {}, {}, steps.append)
    assert steps == ["a"]
    assert result == {
        "messages": [{"type": "ai", "content": "from afar"}],
        "__interrupt__": [{"id": "i", "value": "Go on?"}],
    }


async def test_a_graph_that_cannot_stream(new_scheduler, recorder, caplog):
    """It is invoked as ever; a line in the log, once, says that there are no steps."""
    scheduler = new_scheduler(EchoGraph(), on_event=recorder)
    scheduler.start()
    scheduler.add_task(hourly(stream=True))
    for number in (1, 2):
        scheduler.trigger_task("hourly")
        await recorder.wait_for("succeeded", number)
    assert [run.current_step for run in scheduler.list_runs()] == [None, None]
    assert sum("does not stream" in record.getMessage() for record in caplog.records) == 1


# --- Steps are events ---


@pytest.fixture
def recorder():
    return Listening()


async def test_steps_are_events(new_scheduler, recorder):
    """Between the beginning and the end, in order, each with the run and the step."""
    scheduler = new_scheduler(Steps().graph(), on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time(stream=True))
    (ended,) = await recorder.wait_for("succeeded")
    assert recorder.kinds() == ["started", "step_finished", "step_finished", "step_finished", "succeeded"]
    assert [event.run.current_step for event in recorder.events] == [None, "a", "b", "c", "c"]
    assert {event.run.id for event in recorder.events} == {ended.run.id}


async def test_without_stream_there_are_no_steps(new_scheduler, recorder):
    """Neither events, nor in the row."""
    scheduler = new_scheduler(Steps().graph(), on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time())
    (ended,) = await recorder.wait_for("succeeded")
    assert recorder.kinds() == ["started", "succeeded"]
    assert ended.run.current_step is None


async def test_a_further_attempt_begins_without_a_step(new_scheduler, recorder):
    """While it waits for it, the run tells how far the attempt before came."""
    steps = Steps()
    steps.failures["b"] = 1
    scheduler = new_scheduler(steps.graph(), on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time(stream=True, max_attempts=2, retry_delay_seconds=0))
    await recorder.wait_for("succeeded")
    shown = [(str(event.kind), event.run.current_step) for event in recorder.events]
    assert shown[:4] == [("started", None), ("step_finished", "a"), ("retrying", "a"), ("started", None)]


async def test_another_process_sees_the_step(new_scheduler, db_path):
    """While the run is running: `run`, `watch` and `runs --follow`; a step costs no separate transaction."""
    steps = Steps()
    gate = steps.gates["c"] = Gate()
    scheduler = new_scheduler(steps.graph(), poll_interval=0.1)
    scheduler.start()
    scheduler.add_task(hourly("news", stream=True))
    run_id = scheduler.trigger_task("news")
    await gate.entered.wait()
    await wait_until(lambda: scheduler.get_run(run_id).current_step == "b", scheduler)

    async def command(*arguments):
        program = [sys.executable, "-m", "scheduler", *arguments, "--db", str(db_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = await asyncio.create_subprocess_exec(
            *program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await done.communicate()
        assert done.returncode == 0, output
        return output.decode()

    assert json.loads(await command("run", run_id, "--json"))["current_step"] == "b"
    assert "step      b" in await command("run", run_id)
    watched = await command("watch")
    (line,) = [line for line in watched.splitlines() if line.startswith("news") and "running" in line]
    assert line.split()[-1] == "b"
    gate.opened.set()
    await wait_until(lambda: scheduler.get_run(run_id).finished_at is not None, scheduler)
    assert scheduler.get_run(run_id).current_step == "c"


async def test_following_tells_each_step(db_path, new_scheduler):
    """`runs --follow` prints a line when the run has come further."""
    steps = Steps()
    for name in "bc":
        steps.gates[name] = Gate()
    scheduler = new_scheduler(steps.graph(), poll_interval=0.1)
    scheduler.start()
    scheduler.add_task(hourly("news", stream=True))
    follower = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scheduler", "runs", "--follow", "--json", "--db", str(db_path)),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )

    async def next_line():
        line = json.loads(await asyncio.wait_for(follower.stdout.readline(), PATIENCE))
        return line["status"], line["current_step"]

    try:
        scheduler.trigger_task("news")
        seen = [await next_line()]
        while seen[-1][1] != "a":
            seen.append(await next_line())
        steps.gates["b"].opened.set()
        while seen[-1][1] != "b":
            seen.append(await next_line())
        steps.gates["c"].opened.set()
        while seen[-1][0] != "succeeded":
            seen.append(await next_line())
    finally:
        follower.kill()
        await follower.wait()
    assert seen[-1] == ("succeeded", "c")


async def test_many_steps_make_few_writes(new_scheduler, recorder):
    """However many passes there are meanwhile, steps make a write no more often than each poll interval."""

    class Count(TypedDict):
        messages: Annotated[list, operator.add]
        number: int

    async def add(state):
        scheduler.scheduler.wakeup()
        await scheduler.scheduler.pass_done.wait()
        return {"number": state.get("number", 0) + 1}

    builder = StateGraph(Count)
    builder.add_node("add", add)
    builder.add_edge(START, "add")
    builder.add_conditional_edges("add", lambda state: "add" if state["number"] < 300 else END)
    scheduler = new_scheduler(builder.compile(), on_event=recorder, poll_interval=0.2)
    scheduler.start()
    run_pass, passes = scheduler._engine._parts.session.run_pass, []

    def note(*arguments):
        passes.append(bool(arguments[5]))
        return run_pass(*arguments)

    scheduler._engine._parts.session.run_pass = note
    began = asyncio.get_running_loop().time()
    scheduler.add_task(one_time(stream=True, recursion_limit=400))
    await recorder.wait_for("succeeded")
    seconds = asyncio.get_running_loop().time() - began
    assert recorder.kinds().count("step_finished") == 300
    assert len(passes) > 200
    assert 1 <= sum(passes) <= 3 + seconds / 0.2


async def test_steps_that_cannot_be_written_are_kept(new_scheduler):
    """Until the store can be used again; the newest step counts."""
    steps = Steps()
    gate = steps.gates["c"] = Gate()
    scheduler = new_scheduler(steps.graph(), poll_interval=0.05)
    scheduler.start()
    scheduler.add_task(hourly(stream=True))
    run_pass, failing = scheduler._engine._parts.session.run_pass, [True]

    def fail(*arguments):
        if arguments[5] and failing:
            raise OSError("no disk")
        return run_pass(*arguments)

    scheduler._engine._parts.session.run_pass = fail
    run_id = scheduler.trigger_task("hourly")
    await gate.entered.wait()
    await wait_until(lambda: scheduler.scheduler.engine._started.passes.outage.is_on, scheduler)
    assert scheduler.get_run(run_id).current_step is None
    failing.clear()
    await wait_until(lambda: scheduler.get_run(run_id).current_step == "b", scheduler)
    gate.opened.set()
