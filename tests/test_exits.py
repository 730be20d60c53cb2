"""`sys.exit()` in code of a run fails that run and nothing else; a signal ends the program, whatever runs then."""

import asyncio
import contextlib
import functools
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
from apscheduler.triggers.base import BaseTrigger
from helpers import PATIENCE, EchoGraph, FailingGraph, hourly, one_time, statuses, wait_for_runs, wait_until
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from session_kit import chain

from scheduler import _containment
from scheduler.graphs.callbacks import load_builder, load_callback
from scheduler.models import SessionMode

# --- Graphs that exit ---


def leave(_state=None):
    sys.exit(3)


async def leave_at_once(_state=None):
    sys.exit(3)


async def leave_later(_state=None):
    await asyncio.sleep(0.001)
    sys.exit(3)


async def leave_in_a_task(_state):
    await asyncio.create_task(leave_later())


async def leave_in_gather(_state):
    await asyncio.gather(leave_later(), asyncio.sleep(1))


async def leave_in_a_group(_state):
    async with asyncio.TaskGroup() as group:
        group.create_task(leave_later())


async def leave_in_a_thread(_state):
    await asyncio.to_thread(sys.exit, 3)


async def leave_in_a_subgraph(state):
    return await parallel(leave_later).ainvoke(state)


async def rest(_state):
    await asyncio.sleep(0.01)


def parallel(node):
    """Return a graph in which a node runs beside another one, so that LangGraph gives it a task of its own."""
    builder = StateGraph(MessagesState)
    for name, action in [("node", node), ("other", rest)]:
        builder.add_node(name, action)
        builder.add_edge(START, name)
        builder.add_edge(name, END)
    return builder.compile()


def functional(action):
    @task
    async def step():
        return await action()

    @entrypoint()
    async def graph(given):
        return await step()

    return graph


class CallingModel(GenericFakeChatModel):
    def bind_tools(self, tools, **_options):
        return self


def agent():
    """Return an agent whose model calls a tool that exits."""

    @tool
    def command() -> str:
        """Run a command."""
        return sys.exit(3)

    call = AIMessage("", tool_calls=[{"name": "command", "args": {}, "id": "1"}])
    return create_agent(CallingModel(messages=itertools.repeat(call)), [command])


ACTIONS = [
    leave,
    leave_at_once,
    leave_later,
    leave_in_a_task,
    leave_in_gather,
    leave_in_a_group,
    leave_in_a_thread,
    leave_in_a_subgraph,
]
GRAPHS = {
    **{f"one node, {action.__name__}": chain(MessagesState, node=action).compile() for action in ACTIONS},
    **{f"parallel, {action.__name__}": parallel(action) for action in ACTIONS},
    "no LangGraph": FailingGraph(SystemExit(3)),
    "functional": functional(leave_later),
    "agent": agent(),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
async def test_a_graph_that_exits(new_scheduler, graph, stream):
    """Its run fails and says why; the loop continues, and so does the next run."""
    scheduler = new_scheduler(graph)
    scheduler.start()
    scheduler.add_task(one_time(stream=stream))
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.error) == ("failed", "SystemExit: 3")
    second = scheduler.trigger_task("once")
    await wait_until(lambda: scheduler.get_run(second).finished_at is not None, scheduler)


async def test_a_run_that_exits_is_tried_again(new_scheduler):
    """As one that fails in any other way; with a saver it continues, and ends after its last attempt."""
    scheduler = new_scheduler(chain(MessagesState, rest=rest, node=leave).compile(InMemorySaver()))
    scheduler.start()
    scheduler.add_task(one_time(max_attempts=3, retry_delay_seconds=0))
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.attempt, run.resumed, run.error) == ("failed", 3, True, "SystemExit: 3")
    assert [attempt.error for attempt in run.earlier_attempts] == ["SystemExit: 3"] * 2


class OwnExit(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(), "SystemExit: "),
        (SystemExit("no such option"), "SystemExit: no such option"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (GeneratorExit(), "GeneratorExit: "),
        (OwnExit("own"), "OwnExit: own"),
        (BaseExceptionGroup("two", [SystemExit(1), OwnExit()]), "BaseExceptionGroup: two (2 sub-exceptions)"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("make", [FailingGraph, lambda error: parallel(FailingGraph(error).ainvoke)])
async def test_whatever_is_no_exception(new_scheduler, make, error, text):
    """An outcome is written and the slot is free again, also where it is raised in a task of the graph's own."""
    scheduler = new_scheduler(make(error), max_concurrent_runs=1)
    scheduler.start()
    scheduler.add_tasks([one_time("first"), one_time("second")])
    runs = await wait_for_runs(scheduler, 2)
    assert [run.status for run in runs] == ["failed"] * 2
    # Python itself makes this of a GeneratorExit that comes from a task.
    assert {run.error for run in runs} <= {text, "RuntimeError: coroutine ignored GeneratorExit"}


async def test_a_task_that_a_run_leaves_behind(new_scheduler):
    """It exits when its run is long over."""
    left = []

    class Leaving(EchoGraph):
        async def ainvoke(self, given, config=None):
            left.append(asyncio.create_task(leave_later()))
            return await super().ainvoke(given)

    scheduler = new_scheduler(Leaving())
    scheduler.start()
    scheduler.add_task(one_time())
    [run] = await wait_for_runs(scheduler, 1)
    with pytest.raises(_containment.ContainedExit, match="SystemExit in a run"):
        await left[0]
    assert run.status == "succeeded"


# --- Callbacks, builders, listeners and the rest ---


@pytest.fixture
def hooks(monkeypatch):
    """Return a module that tests put their hooks into; it is found as `hooks_of_a_test`."""
    module = types.ModuleType("hooks_of_a_test")
    monkeypatch.setitem(sys.modules, "hooks_of_a_test", module)
    load_builder.cache_clear()
    load_callback.cache_clear()
    return module


async def test_an_input_builder_that_exits(new_scheduler, hooks, echo):
    """The run fails without a call of the graph."""
    hooks.build = leave
    scheduler = new_scheduler(echo)
    scheduler.start()
    scheduler.add_task(one_time(input_builder="hooks_of_a_test.build"))
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.error, echo.calls) == ("failed", "SystemExit: 3", [])


@pytest.mark.parametrize("leave", [leave_at_once, leave_later, leave_in_a_task])
async def test_a_callback_that_exits(new_scheduler, hooks, echo, leave):
    """The graph has succeeded all the same, as with any other failure of the callback."""

    async def notify(task, result):
        await leave(None)

    hooks.notify = notify
    scheduler = new_scheduler(echo)
    scheduler.start()
    scheduler.add_task(one_time(result_callback="hooks_of_a_test.notify"))
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.error) == ("succeeded", "result_callback: SystemExit: 3")


@pytest.mark.parametrize("leave", [leave_at_once, leave_later, leave_in_a_task])
async def test_a_listener_that_exits(new_scheduler, leave, caplog):
    """It is logged, and the listener hears the next event."""
    kinds = []

    async def listen(event):
        kinds.append(event.kind)
        await leave(None)

    scheduler = new_scheduler(on_event=listen)
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_until(lambda: len(kinds) == 3, scheduler)
    assert kinds == ["started", "succeeded", "finished"]
    assert "failed at started of run" in caplog.text


async def test_a_saver_that_exits_while_an_old_thread_is_deleted(new_scheduler, caplog):
    """It is tried again later."""

    class Saver(InMemorySaver):
        async def adelete_thread(self, thread_id):
            sys.exit(3)

    scheduler = new_scheduler(chain(MessagesState, rest=rest).compile(Saver()))
    scheduler.start()
    scheduler.add_task(one_time(session_mode=SessionMode.PER_RUN, session_retention=0.001))
    await wait_until(lambda: "could not be deleted, and is tried again: SystemExit: 3" in caplog.text, scheduler)


async def test_a_trigger_of_the_programs_own_that_exits(new_scheduler):
    """APScheduler asks it for the next time in a pass, which continues."""

    class Leaving(BaseTrigger):
        def get_next_fire_time(self, previous, now):
            return now if previous is None else sys.exit(3)

    async def job():
        pass

    scheduler = new_scheduler()
    scheduler.start()
    scheduler.scheduler.add_job(job, Leaving())
    scheduler.add_task(one_time())
    [run] = await wait_for_runs(scheduler, 1)
    assert run.status == "succeeded"


# --- The task factory belongs to the loop ---


class Factory:
    """A task factory of the program's own."""

    def __init__(self):
        self.names = []

    def __call__(self, loop, coro, **options):
        made = asyncio.Task(coro, loop=loop, **options)
        self.names.append(coro.__qualname__)
        return made


@pytest.mark.parametrize("factory", [None, Factory()])
async def test_the_factory_that_was_there_is_kept_and_given_back(new_scheduler, factory):
    """It makes the tasks of runs as well, and sees their own coroutines."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    scheduler = new_scheduler(parallel(leave_later))
    scheduler.start()
    scheduler.add_task(one_time())
    [run] = await wait_for_runs(scheduler, 1)
    assert run.error == "SystemExit: 3"
    await scheduler.stop()
    assert loop.get_task_factory() is factory
    assert factory is None or "arun_with_retry" in factory.names
    loop.set_task_factory(None)


async def test_a_factory_that_is_set_later_is_kept(new_scheduler):
    """It is put around by the next run, and stays when the scheduler stops."""
    loop = asyncio.get_running_loop()
    scheduler = new_scheduler(parallel(leave_later))
    scheduler.start()
    factory = Factory()
    loop.set_task_factory(factory)
    scheduler.add_task(one_time())
    [run] = await wait_for_runs(scheduler, 1)
    assert run.error == "SystemExit: 3"
    assert "arun_with_retry" in factory.names
    await scheduler.stop()
    assert loop.get_task_factory() is factory
    loop.set_task_factory(None)


async def test_a_factory_that_raises(new_scheduler):
    """The run fails, and the next one starts when the factory works again."""
    loop = asyncio.get_running_loop()

    def factory(loop, coro, **options):
        if coro.__qualname__.endswith("make"):
            raise ValueError("no tasks today")
        return asyncio.Task(coro, loop=loop, **options)

    scheduler = new_scheduler(max_concurrent_runs=1)
    scheduler.start()
    loop.set_task_factory(factory)
    scheduler.add_task(hourly())
    first = scheduler.trigger_task("hourly")
    await wait_for_runs(scheduler, 1)
    assert (scheduler.get_run(first).status, scheduler.get_run(first).error) == ("failed", "ValueError: no tasks today")
    loop.set_task_factory(None)
    second = scheduler.trigger_task("hourly")
    await wait_until(lambda: scheduler.get_run(second).status == "succeeded", scheduler)


async def test_two_schedulers_share_a_factory(new_scheduler, tmp_path):
    """The first one that stops leaves it to the other."""
    loop = asyncio.get_running_loop()
    first = new_scheduler()
    second = new_scheduler(parallel(leave_later), db_path=tmp_path / "second.db")
    first.start()
    second.start()
    await first.stop()
    second.add_task(one_time())
    [run] = await wait_for_runs(second, 1)
    assert run.error == "SystemExit: 3"
    await second.stop()
    assert loop.get_task_factory() is None


async def test_parallel_nodes_are_not_created_past_the_factory(new_scheduler, monkeypatch):
    """LangGraph would do so on Python 3.12 and later, where asyncio can begin tasks at once."""
    made = []

    def eager_task_factory(loop, coro, **options):
        made.append(coro.__qualname__)
        return asyncio.Task(coro, loop=loop, **options)

    monkeypatch.setattr(asyncio, "eager_task_factory", eager_task_factory, raising=False)
    monkeypatch.setattr("langgraph._internal._future.EAGER_NOT_SUPPORTED", False)
    scheduler = new_scheduler(parallel(rest))
    scheduler.start()
    scheduler.add_task(one_time())
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, made) == ("succeeded", [])


async def test_tasks_of_the_program_are_left_alone(new_scheduler):
    """They are made as they always were; only those of runs are guarded."""
    scheduler = new_scheduler()
    scheduler.start()

    async def own():
        return asyncio.current_task().get_coro()

    assert type(await asyncio.create_task(own())) is types.CoroutineType


async def test_a_guarded_task_looks_like_any_other():
    """To debuggers and to libraries that look into tasks; and one that is cancelled before its first step is closed."""
    loop = asyncio.get_running_loop()
    _containment.guard_tasks(loop)
    made = loop.create_task(rest(None), context=_containment.new_context())
    assert made.get_coro().__qualname__ == "rest"
    assert "rest()" in repr(made)
    assert made.get_stack()
    made.cancel()
    with pytest.raises(asyncio.CancelledError):
        await made
    assert made.get_coro().cr_frame is None
    _containment.stop_guarding(loop)


# --- Signals ---


class Handler:
    def leave(self, number, frame):
        self.deeper()

    def deeper(self):
        raise SystemExit(7)


HANDLERS = {
    "a lambda": lambda *_: sys.exit(7),
    "a function": lambda number, frame: sys.exit(7),
    "a partial": functools.partial(lambda code, number, frame: sys.exit(code), 7),
    "a method": Handler().leave,
    "Ctrl+C": signal.default_int_handler,
}


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_what_a_signal_raises_is_known(handler):
    """By the frames of its traceback, whatever the handler is and does."""

    def interrupted():
        signal.raise_signal(signal.SIGUSR1)
        return 1 + 1

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises((SystemExit, KeyboardInterrupt)) as caught:
            interrupted()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert _containment.is_from_signal(caught.value)
    assert _containment.must_pass(caught.value)


def raises(error):
    raise error


def raises_again(error):
    try:
        raises(error)
    except BaseException as caught:
        raise caught from ValueError()


@pytest.mark.parametrize("error", [SystemExit(7), KeyboardInterrupt(), ValueError(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("raising", [raises, raises_again])
def test_what_code_raises_itself_is_not_from_a_signal(error, raising):
    """Not even a KeyboardInterrupt."""
    with pytest.raises(type(error)) as caught:
        raising(error)
    assert not _containment.is_from_signal(caught.value)


_PROGRAM = """
import asyncio, signal, sys, time
from datetime import UTC, datetime, timedelta
from langgraph.graph import END, START, MessagesState, StateGraph
from scheduler import TaskDefinition, TaskScheduler

def work():
    print("works", flush=True)
    while True:
        time.sleep(0.01)

async def node(state):
    work()

async def other(state):
    await asyncio.sleep(0)

builder = StateGraph(MessagesState)
for name in sys.argv[1:]:
    builder.add_node(name, globals()[name])
    builder.add_edge(START, name)
    builder.add_edge(name, END)

async def main():
    scheduler = TaskScheduler(graph=builder.compile(), shutdown_grace_seconds=0)
    due = datetime.now(UTC) + timedelta(milliseconds=10)
    scheduler.add_task(TaskDefinition(id="t", name="t", prompt="p", task_type="one_time", run_at=due))
    scheduler.start()
    await asyncio.Event().wait()
"""


def signalled(folder, end, *signals, nodes=("node", "other")):
    """Run a program, send it signals once its node works, and return its exit code and its errors."""
    program = folder / "program.py"
    program.write_text(_PROGRAM + textwrap.dedent(end))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, str(program), *nodes]
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=-1, stderr=-1) as running:
        assert running.stdout.readline() == "works\n"
        for each in signals:
            running.send_signal(each)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(0.3)
        _, errors = running.communicate(timeout=PATIENCE)
    return running.returncode, errors


@pytest.mark.parametrize("nodes", [["node"], ["node", "other"]], ids=["one node", "parallel"])
def test_a_signal_whose_handler_exits_ends_the_program(tmp_path, nodes):
    """Also while a node keeps the loop busy, whose run is then interrupted, not failed."""
    end = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); asyncio.run(main())"
    code, errors = signalled(tmp_path, end, signal.SIGTERM, nodes=nodes)
    assert code == 7, errors
    assert statuses(tmp_path / "scheduler.db") == {"interrupted": 1}


def test_ctrl_c_ends_a_program_that_runs_a_loop_itself(tmp_path):
    """Python's own handler raises KeyboardInterrupt in the node."""
    end = """
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(main())
        except KeyboardInterrupt:
            sys.exit(8)
    """
    code, errors = signalled(tmp_path, end, signal.SIGINT)
    assert code == 8, errors


def test_a_second_ctrl_c_ends_a_program_of_asyncio_run(tmp_path):
    """The first one cancels main(), which a busy loop never sees."""
    end = """
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(8)
    """
    code, errors = signalled(tmp_path, end, signal.SIGINT, signal.SIGINT)
    assert code == 8, errors
    assert statuses(tmp_path / "scheduler.db") == {"interrupted": 1}
