"""Functions that make a graph: called as LangGraph's server calls them, once at the start or for each run."""

import asyncio
import functools
from contextlib import asynccontextmanager, contextmanager

import pytest
from helpers import PATIENCE, EchoGraph, FailingGraph, hourly, wait_until
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_sdk.runtime import ServerRuntime
from runner_kit import a_claim, a_runner, a_task

from scheduler import RunStatus, TaskScheduler
from scheduler.errors import GraphError
from scheduler.graphs import GraphRunner, RunnerSettings
from scheduler.timing.clock import WallClock


async def answer(state):
    return {"messages": [AIMessage("Done.")]}


def a_builder():
    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    return builder


class Log(list):
    """What was made and left, in order."""

    def made(self, **_):
        self.append("made")
        return EchoGraph()


@pytest.fixture
def log():
    return Log()


def factories(log):
    """Return a factory of each kind that takes nothing."""

    def function():
        return log.made()

    async def coroutine():
        await asyncio.sleep(0)
        return log.made()

    @asynccontextmanager
    async def async_manager():
        task = asyncio.current_task()
        yield log.made()
        assert asyncio.current_task() is task, "as the task groups of anyio demand"
        log.append("left")

    @contextmanager
    def manager():
        yield log.made()
        log.append("left")

    async def coroutine_of_an_argument(graph):
        return graph()

    partial = functools.partial(coroutine_of_an_argument, graph=log.made)
    return {f.__name__: f for f in (function, coroutine, async_manager, manager)} | {
        "method": log.made,
        "optional": lambda model="small", tools=None: log.made(),
        "partial": partial,
    }


KINDS = list(factories(Log()))


@pytest.mark.parametrize("kind", KINDS)
async def test_made_once(new_scheduler, log, kind):
    """For all runs of a start, and again at the next one; a context manager is left when the last run is over."""
    scheduler = new_scheduler(factories(log)[kind], shutdown_grace_seconds=PATIENCE)
    scheduler.add_task(hourly())
    ends = ["left"] if "manager" in kind else []
    for start in (1, 2):
        async with scheduler:
            assert log == (["made", *ends] * start)[: len(log)]
            assert log[-1] == "made"
            for _ in range(2):
                run = await scheduler.run_task("hourly")
                assert (run.status, run.response) == (RunStatus.SUCCEEDED, "Echo: Prompt of hourly")
        assert log == ["made", *ends] * start


@pytest.mark.parametrize("kind", KINDS)
async def test_a_graph_of_a_task(new_scheduler, log, kind, module, monkeypatch):
    """A task can name a factory, too."""
    name = module("made", "factory = None")
    __import__(name)
    monkeypatch.setattr(f"{name}.factory", factories(log)[kind])
    scheduler = new_scheduler()
    scheduler.add_task(hourly(graph=f"{name}:factory"))
    async with scheduler:
        for _ in range(2):
            assert (await scheduler.run_task("hourly")).status is RunStatus.SUCCEEDED
    assert log == (["made", "left"] if "manager" in kind else ["made"])


async def test_runs_wait_for_the_graph(new_scheduler):
    """`start()` does not wait for an async factory; runs do, and `ready()` does."""
    may_go, begun = asyncio.Event(), asyncio.Event()

    async def make():
        begun.set()
        await may_go.wait()
        return EchoGraph()

    scheduler = new_scheduler(make)
    scheduler.add_task(hourly())
    scheduler.start()
    await begun.wait()
    run_id = scheduler.trigger_task("hourly")
    await scheduler.scheduler.pass_done.wait()
    assert scheduler.get_run(run_id).started_at is None
    may_go.set()
    await scheduler.ready()
    assert (await scheduler.wait_for_run(run_id)).status is RunStatus.SUCCEEDED


async def test_a_stop_while_the_graph_is_made(new_scheduler):
    """The factory is cancelled, and leaves what it has opened."""
    begun, ended = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def make():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        yield EchoGraph()

    scheduler = new_scheduler(make)
    scheduler.start()
    await begun.wait()
    async with asyncio.timeout(PATIENCE):
        await scheduler.stop()
    assert ended.is_set()


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_leaving_raises_is_logged(new_scheduler, caplog, is_async):
    """The scheduler stops all the same."""

    @asynccontextmanager
    async def make_async():
        yield EchoGraph()
        raise OSError("cannot be closed")

    @contextmanager
    def make():
        yield EchoGraph()
        raise OSError("cannot be closed")

    async with new_scheduler(make_async if is_async else make):
        pass
    [record] = [each for each in caplog.records if getattr(each, "action", None) == "graph_not_left"]
    assert "OSError: cannot be closed" in record.getMessage()


async def test_a_context_manager_that_does_not_end(new_scheduler, monkeypatch):
    """It is cancelled after a while, and the stop goes on."""
    monkeypatch.setattr("scheduler.graphs.graph_table._PATIENCE", 0.01)
    cancelled = asyncio.Event()

    @asynccontextmanager
    async def make():
        yield EchoGraph()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with asyncio.timeout(PATIENCE):
        async with new_scheduler(make):
            pass
        await cancelled.wait()


async def test_the_end_of_the_loop(log):
    """`asyncio.run` cancels what runs; the context manager is left then, too."""

    @asynccontextmanager
    async def make():
        try:
            yield log.made()
        finally:
            log.append("left")

    async def program():
        scheduler = TaskScheduler(persistent=False, graph=make)
        scheduler.start()
        await scheduler.ready()

    await asyncio.to_thread(asyncio.run, program())
    assert log == ["made", "left"]


# --- For each run ---


def with_config(log, config: RunnableConfig):
    log.append(config["configurable"])
    return a_builder()


def with_config_by_name(log, config):
    return with_config(log, config)


def with_any_name(log, anything):
    return with_config(log, anything)


async def with_runtime(log, runtime: ServerRuntime[dict]):
    assert runtime.access_context == "threads.create_run"
    log.append(runtime.execution_runtime.context)
    return a_builder()


@asynccontextmanager
async def with_both(log, runtime: "ServerRuntime", config: "RunnableConfig", *, model="small"):
    log.append((runtime.execution_runtime.context, config["configurable"], model))
    yield a_builder()
    log.append("left")


CONTEXT = {"user": 1}
CONFIGURABLE = {"user": 1, "model": "large", "thread_id": "scheduler:daily"}


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (with_config, [CONFIGURABLE]),
        (with_config_by_name, [CONFIGURABLE]),
        (with_any_name, [CONFIGURABLE]),
        (with_runtime, [CONTEXT]),
        (with_both, [(CONTEXT, CONFIGURABLE, "small"), "left"]),
    ],
)
async def test_made_for_each_run(log, function, given):
    """With the run's config, the server's runtime, or both: what is configured, and the run's context."""
    runner = a_runner(functools.partial(function, log))
    assert runner.is_checkpointed(a_task()), "nobody knows before, so runs of a thread take turns"
    await runner.ready()
    assert log == []
    task = a_task(context=CONTEXT, configurable={"model": "large"})
    for number in (1, 2):
        outcome = await runner.run(a_claim(task, run_id=f"r{number}"))
        assert (outcome.status, outcome.response) == (RunStatus.SUCCEEDED, "Done.")
        assert log == given * number


async def test_left_after_a_failure(log, caplog):
    """The context manager sees what the graph raised. It cannot hide that, and what it raises itself is only logged."""

    @asynccontextmanager
    async def hiding(config):
        try:
            yield FailingGraph()
        except ValueError as error:
            log.append(str(error))

    @asynccontextmanager
    async def raising(config):
        yield EchoGraph()
        raise OSError("cannot be closed")

    outcome = await a_runner(hiding).run(a_claim())
    assert (outcome.status, outcome.error, log) == (RunStatus.FAILED, "ValueError: no such city", ["no such city"])
    outcome = await a_runner(raising).run(a_claim())
    assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, None)
    [record] = [each for each in caplog.records if getattr(each, "action", None) == "graph_not_left"]
    assert "OSError: cannot be closed" in record.getMessage()


# --- What comes of them ---


async def test_a_saver_is_attached():
    """To a graph that is made once, unless it has one, and to each that is made for one run; a builder is compiled."""
    saver, own = InMemorySaver(), InMemorySaver()
    graphs = [
        a_builder,
        lambda config: a_builder().compile(),
        lambda config: a_builder().compile(checkpointer=InMemorySaver()),
        lambda: a_builder().compile(checkpointer=own),
    ]
    for make in graphs:
        outcome = await a_runner(make, checkpointer=saver).run(a_claim(thread_id=f"thread {id(make)}"))
        assert (outcome.status, outcome.response) == (RunStatus.SUCCEEDED, "Done.")
    assert {*saver.storage} == {f"thread {id(make)}" for make in graphs[:3]}
    assert {*own.storage} == {f"thread {id(graphs[3])}"}


async def test_a_thread_of_a_graph_for_each_run_is_deleted():
    """For that a graph is made once more."""
    saver = InMemorySaver()
    runner = a_runner(lambda config: a_builder(), checkpointer=saver)
    await runner.run(a_claim())
    assert {*saver.storage} == {"scheduler:daily"}
    await runner.delete_thread("scheduler:daily", None)
    assert not saver.storage


def fails():
    message = "no API key"
    raise LookupError(message)


async def fails_later():
    fails()


@asynccontextmanager
async def fails_to_open():
    fails()
    yield


def returns_no_graph():
    return 5


async def forgets_the_decorator():
    yield EchoGraph()


def takes_no_messages():
    from typing_extensions import TypedDict

    return StateGraph(TypedDict("Topic", {"topic": str})).add_node("n", print).add_edge(START, "n")


FAILURES = {
    fails: "graph='function': making the graph raised LookupError: no API key; correct the function that makes it",
    fails_later: "making the graph raised LookupError: no API key",
    fails_to_open: "making the graph raised LookupError: no API key",
    returns_no_graph: "it is a int, which has no ainvoke",
    forgets_the_decorator: "its function yields a graph and is no context manager; put @asynccontextmanager above it",
    takes_no_messages: "its input has no `messages` (it has topic)",
}


@pytest.mark.parametrize("function", FAILURES)
async def test_what_cannot_be_made(new_scheduler, function):
    """`async with` raises it, whether the function is called in `start()` or later."""
    scheduler = new_scheduler(function)
    with pytest.raises(GraphError) as caught:
        async with scheduler:
            pass
    assert FAILURES[function] in str(caught.value)


async def test_made_at_a_later_try(new_scheduler, caplog):
    """What failed is logged and shows at the tasks, and is tried again with them."""
    results = [LookupError("no network"), LookupError("no network"), EchoGraph()]

    async def make():
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    scheduler = new_scheduler(make)
    scheduler.add_task(hourly())
    run_id = scheduler.trigger_task("hourly")
    scheduler.start()
    await wait_until(lambda: scheduler.task_views()[0].problem, scheduler)
    assert "making the graph raised LookupError: no network" in scheduler.task_views()[0].problem
    [record] = [each for each in caplog.records if getattr(each, "action", None) == "graph_not_made"]
    assert "making the graph raised LookupError: no network" in record.getMessage()
    assert scheduler.check_tasks() == {}
    run = await scheduler.wait_for_run(run_id, timeout=PATIENCE)
    assert run.status is RunStatus.SUCCEEDED


async def test_a_run_whose_graph_cannot_be_made():
    """A factory that takes the config is not called before; its error is the run's."""

    def make(config):
        fails()

    outcome = await a_runner(make).run(a_claim())
    assert outcome.status is RunStatus.FAILED
    assert outcome.error.startswith("GraphError: graph='function': making the graph raised LookupError: no API key")
    outcome = await a_runner(lambda config: takes_no_messages()).run(a_claim())
    assert "its input has no `messages` (it has topic)" in outcome.error


async def test_what_is_no_factory():
    """A coroutine, or a context manager that was made already, lasts for one start only."""
    coroutine = fails_later()
    for made in (coroutine, fails_to_open()):
        with pytest.raises(GraphError, match="used up after one start; name the function that makes it, without call"):
            GraphRunner(RunnerSettings(made), WallClock()).load()
    coroutine.close()
