"""A dotted path becomes the function that is awaited with the result, or is refused when the task is added."""

import asyncio
import importlib
import logging
import sys
import threading

import pytest
from helpers import PATIENCE, EchoGraph, FailingGraph, hourly, one_time, steps, wait_for_runs, wait_until
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from runner_kit import a_claim, a_runner, a_task, attempt
from session_kit import chain

from scheduler import RunStatus, TaskScheduler
from scheduler.errors import InvalidTaskError
from scheduler.graphs import bounded, check_task
from scheduler.graphs.callbacks import load_builder, load_callback

GOOD = """
    import asyncio, functools
    from collections.abc import Awaitable, Coroutine
    from typing import Any
    from unittest.mock import AsyncMock

    calls = []

    async def notify(task, result):
        calls.append((task, result))

    async def with_channel(channel, task, result):
        calls.append((task, result))

    partial = functools.partial(with_channel, "mail")
    nested = functools.partial(functools.partial(with_channel), "mail")

    class Notifier:
        async def __call__(self, task, result):
            calls.append((task, result))

        async def method(self, task, result):
            calls.append((task, result))

        @staticmethod
        async def static(task, result):
            calls.append((task, result))

        @classmethod
        async def of_class(cls, task, result):
            calls.append((task, result))

    notifier = Notifier()
    method = notifier.method

    def logged(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)
        return wrapper

    wrapped = logged(notify)

    def awaitable(task, result) -> Awaitable[None]:
        return notify(task, result)

    def coroutine(task, result) -> "Coroutine[Any, Any, None]":
        return notify(task, result)

    def future(task, result) -> asyncio.Future:
        return asyncio.ensure_future(notify(task, result))

    annotated_partial = functools.partial(awaitable)

    class Sync:
        def __call__(self, task, result):
            return notify(task, result)

    sync_call = Sync()
    mock = AsyncMock(side_effect=notify)
"""
GOOD_NAMES = [
    "notify",
    "partial",
    "nested",
    "notifier",
    "method",
    "Notifier.static",
    "Notifier.of_class",
    "notifier.method",
    "wrapped",
    "awaitable",
    "coroutine",
    "future",
    "annotated_partial",
    "sync_call",
    "mock",
]


@pytest.mark.parametrize("name", GOOD_NAMES)
async def test_called_with_task_and_result(name, module):
    """Whatever returns an awaitable is awaited, once, with the task and with what the graph returned."""
    loaded = importlib.import_module(module("good_callbacks", GOOD))
    load_callback.cache_clear()
    outcome = await attempt(EchoGraph(), result_callback=f"good_callbacks.{name}")
    assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, None)
    ((task, result),) = loaded.calls
    assert task == a_task(result_callback=f"good_callbacks.{name}")
    assert result == {"messages": [{"role": "assistant", "content": "Echo: Write the report."}]}


@pytest.mark.parametrize("path", ["pkg.deep.callbacks.notify", "pkg.deep.callbacks:notify"])
def test_in_a_package(path, module):
    """A function in a package is found by dots alone, and with a colon before it."""
    module("pkg.deep.callbacks", "async def notify(task, result): ...")
    check_task(a_task(result_callback=path))


BAD = """
    import functools
    from unittest.mock import MagicMock

    def sync(task, result): ...
    def annotated(task, result) -> None: ...
    def unknown(task, result) -> "Nowhere": ...
    async def generator(task, result):
        yield
    class Notifier:
        async def __call__(self, task, result): ...
    class Plain: ...
    partial = functools.partial(sync)
    lambda_ = lambda task, result: None
    number, nothing, text = 5, None, "notify"
    wrapped = functools.wraps(sync)(lambda task, result: None)
    instance = Plain()
    length = len
"""
NOT_ASYNC = [
    "sync",
    "annotated",
    "unknown",
    "generator",
    "Notifier",
    "Plain",
    "partial",
    "lambda_",
    "wrapped",
    "length",
]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        *((name, "is not async") for name in NOT_ASYNC),
        ("number", "is a int, not a function"),
        ("nothing", "is a NoneType, not a function"),
        ("text", "is a str, not a function"),
        ("instance", "is a Plain, not a function"),
        ("missing", "cannot be imported (AttributeError: module 'bad_callbacks' has no attribute 'missing')"),
        ("Plain.missing", "cannot be imported (AttributeError: type object 'Plain' has no attribute 'missing')"),
    ],
)
def test_refused(name, problem, module):
    """An object that is not an async function is refused, with task, field, value, and how to fix it."""
    module("bad_callbacks", BAD)
    with pytest.raises(InvalidTaskError) as caught:
        check_task(a_task(result_callback=f"bad_callbacks.{name}"))
    said = str(caught.value)
    assert said.startswith(f"Task t: result_callback='bad_callbacks.{name}' {problem}; give ")
    assert isinstance(caught.value, ValueError)


IMPORTS = [
    ("nowhere_at_all.notify", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ("holder.nowhere.notify", "AttributeError: module 'holder' has no attribute 'nowhere'"),
    ("holder.needs.notify", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ("holder.needs:notify", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ("holder.needs_name.notify", "ImportError: cannot import name 'nothing' from 'json'"),
    ("holder.broken.notify", "SyntaxError: "),
    ("holder.raising.notify", "RuntimeError: no configuration"),
    ("holder.raising.Class.method", "RuntimeError: no configuration"),
    ("holder.leaving.notify", "SystemExit: 2"),
]


@pytest.fixture
def holder(module):
    module("holder.__init__")
    module("holder.needs", "import nowhere_at_all")
    module("holder.needs_name", "from json import nothing")
    module("holder.broken", "def notify(:")
    module("holder.raising", "raise RuntimeError('no configuration')")
    module("holder.leaving", "import sys; sys.exit(2)")


@pytest.mark.parametrize(("path", "reason"), IMPORTS)
def test_module_that_cannot_be_imported(path, reason, holder):
    """The refusal tells why the module cannot be imported, also where it is a module that this one needs."""
    with pytest.raises(InvalidTaskError) as caught:
        check_task(a_task(result_callback=path))
    assert f"Task t: result_callback={path!r} cannot be imported ({reason}" in str(caught.value)
    assert "in a module that can be imported here" in str(caught.value)


@pytest.mark.parametrize(("path", "reason"), IMPORTS)
def test_input_builder_that_cannot_be_imported(path, reason, holder):
    """The same holds for the function that builds the input."""
    with pytest.raises(ValueError, match="input_builder=") as caught:
        load_builder(path)
    assert f"cannot be imported ({reason}" in str(caught.value)


def test_refused_by_add_task(module):
    """A callback that cannot be called is refused when the task is added, and nothing of the call is stored."""
    module("bad_callbacks", BAD)
    scheduler = TaskScheduler(persistent=False, graph=EchoGraph())
    with pytest.raises(ValueError, match=r"Task second: result_callback='bad_callbacks\.sync' is not async"):
        scheduler.add_tasks([a_task(), a_task(id="second", result_callback="bad_callbacks.sync")])
    assert scheduler.list_tasks() == []
    scheduler.stop()


# --- When it is called ---

FAILING = """
    import asyncio

    began = asyncio.Event()

    async def raising(task, result):
        raise ValueError("no such channel")

    async def timing_out(task, result):
        raise TimeoutError

    class Sync:
        def __call__(self, task, result):
            return 5

    no_awaitable = Sync()

    async def too_few(task): ...

    async def cancelling(task, result):
        raise asyncio.CancelledError

    async def cancelling_its_task(task, result):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    async def awaiting_what_is_cancelled(task, result):
        child = asyncio.create_task(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(child.cancel)
        await child

    async def waiting(task, result):
        began.set()
        await asyncio.Event().wait()
"""
_CANCELLED = "CallbackCancelledError: it cancelled itself, or what it waited for was cancelled"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("raising", "ValueError: no such channel"),
        ("timing_out", "TimeoutError: "),
        ("no_awaitable", "TypeError: result_callback='failing_callbacks.no_awaitable' returned int, no awaitable"),
        ("too_few", "TypeError: too_few() takes 1 positional argument but 2 were given"),
        ("cancelling", _CANCELLED),
        ("cancelling_its_task", _CANCELLED),
        ("awaiting_what_is_cancelled", _CANCELLED),
    ],
)
async def test_callback_that_fails(name, error, module, caplog):
    """The run has succeeded all the same, with its response; what the callback raised is recorded and logged."""
    module("failing_callbacks", FAILING)
    load_callback.cache_clear()
    outcome = await attempt(EchoGraph(), result_callback=f"failing_callbacks.{name}", timeout_seconds=60)
    assert outcome.status is RunStatus.SUCCEEDED
    assert outcome.response == "Echo: Write the report."
    assert outcome.error == f"result_callback: {error}"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "Task Report (t): result_callback failed"


@pytest.mark.parametrize("graph", [FailingGraph()])
async def test_no_callback_after_a_failure(graph, module):
    """The callback is for results: a graph that failed has none."""
    loaded = importlib.import_module(module("good_callbacks", GOOD))
    load_callback.cache_clear()
    outcome = await attempt(graph, result_callback="good_callbacks.notify")
    assert outcome.status is RunStatus.FAILED
    assert loaded.calls == []


async def test_cancelled_while_the_callback_is_going(module):
    """A run that is cancelled in its callback ends as cancelled, not as a callback that failed."""
    loaded = importlib.import_module(module("failing_callbacks", FAILING))
    load_callback.cache_clear()
    task = asyncio.create_task(attempt(EchoGraph(), result_callback="failing_callbacks.waiting"))
    async with asyncio.timeout(PATIENCE):
        await loaded.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_callback_that_is_gone(echo):
    """A stored task whose callback is gone cannot be loaded; were it run all the same, it would not reach the graph."""
    runner, task = a_runner(echo), a_task(result_callback="nowhere_at_all.notify")
    assert "result_callback='nowhere_at_all.notify' cannot be imported" in await runner.load_code(task)
    assert runner.needs_loading(task)
    outcome = await attempt(echo, result_callback="nowhere_at_all.notify")
    assert outcome.status is RunStatus.FAILED
    assert "nowhere_at_all" in outcome.error
    assert echo.calls == []


async def test_callback_is_imported_once(module):
    """Runs of a task do not import its callback again."""
    loaded = importlib.import_module(module("good_callbacks", GOOD))
    load_callback.cache_clear()
    runner = a_runner(EchoGraph())
    for _ in range(3):
        await runner.run(a_claim(a_task(result_callback="good_callbacks.notify")))
    assert len(loaded.calls) == 3


# --- How long it may take ---

HANGING = """
    import asyncio

    seen = []
    began, release = asyncio.Event(), asyncio.Event()

    async def hang(task, result):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async def swallow(task, result):
        began.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                seen.append("cancelled")

    async def first_hang(task, result):
        if began.is_set():
            seen.append("called")
        else:
            await hang(task, result)

    async def return_late(task, result):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")

    async def raise_late(task, result):
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")
            raise ValueError("clearing up went wrong")

    class Hanging:
        def __call__(self, task, result):
            return asyncio.get_running_loop().create_future()

    future = Hanging()
"""


@pytest.fixture
async def hanging(module, monkeypatch):
    """Return a module of callbacks that do not return; what ignores its cancellation is left behind at once."""
    monkeypatch.setattr(bounded, "CALLBACK_PATIENCE", 0.05)
    loaded = importlib.import_module(module("hanging_callbacks", HANGING))
    load_callback.cache_clear()
    yield loaded
    loaded.release.set()
    await steps()


@pytest.mark.parametrize("name", ["hang", "return_late", "raise_late", "future"])
@pytest.mark.parametrize("timeout_seconds", [None, 60])
async def test_callback_that_never_returns(name, timeout_seconds, hanging, caplog):
    """It is cancelled; the run has succeeded all the same, and says which setting ended its callback."""
    runner = a_runner(EchoGraph(), callback_timeout_seconds=0.01)
    task = a_task(result_callback=f"hanging_callbacks.{name}", timeout_seconds=timeout_seconds)
    outcome = await runner.run(a_claim(task))
    assert (outcome.status, outcome.response) == (RunStatus.SUCCEEDED, "Echo: Write the report.")
    assert outcome.error == "result_callback: TimeoutError: longer than callback_timeout_seconds=0.01"
    assert hanging.seen == ([] if name == "future" else ["cancelled"])
    assert "Task Report (t): result_callback failed" in caplog.text


async def test_callback_of_a_task_that_is_to_be_quick(hanging):
    """The task's own limit bounds its callback as well, if it is the shorter one."""
    task = a_task(result_callback="hanging_callbacks.hang", timeout_seconds=0.3)
    outcome = await a_runner(EchoGraph()).run(a_claim(task))
    assert (outcome.status, outcome.error) == (
        RunStatus.SUCCEEDED,
        "result_callback: TimeoutError: longer than timeout_seconds=0.3",
    )


async def test_callback_has_a_time_of_its_own(module):
    """What the graph took is not taken from it."""
    module("slow_callbacks", "import asyncio\nasync def notify(task, result): await asyncio.sleep(0.6)")

    class Slow(EchoGraph):
        async def ainvoke(self, given, config=None):
            await asyncio.sleep(0.6)
            return {}

    task = a_task(result_callback="slow_callbacks.notify", timeout_seconds=1)
    outcome = await a_runner(Slow()).run(a_claim(task))
    assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, None)


async def test_callback_that_ignores_its_cancellation(hanging):
    """It is left behind, and the run says so."""
    runner = a_runner(EchoGraph(), callback_timeout_seconds=0.01)
    outcome = await runner.run(a_claim(a_task(result_callback="hanging_callbacks.swallow")))
    text = "longer than callback_timeout_seconds=0.01, and it continues although it was cancelled"
    assert (outcome.status, outcome.error) == (RunStatus.SUCCEEDED, f"result_callback: TimeoutError: {text}")
    assert bounded._left_behind
    hanging.release.set()
    await steps()
    assert not bounded._left_behind


async def test_cancelled_while_a_callback_ignores_it(hanging):
    """The run ends as cancelled all the same."""
    task = asyncio.create_task(attempt(EchoGraph(), result_callback="hanging_callbacks.swallow"))
    await asyncio.wait_for(hanging.began.wait(), PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE)
    assert hanging.seen == ["cancelled"]


@pytest.mark.parametrize("name", ["hang", "swallow"])
async def test_its_slot_is_free_for_the_next_run(new_scheduler, hanging, name):
    """Of the same task, and of others."""
    scheduler = new_scheduler(EchoGraph(), max_concurrent_runs=1, callback_timeout_seconds=0.01)
    scheduler.start()
    scheduler.add_task(hourly(result_callback=f"hanging_callbacks.{name}"))
    for _ in range(2):
        scheduler.trigger_task("hourly")
    scheduler.add_task(one_time("other"))
    runs = await wait_for_runs(scheduler, 3)
    assert [str(run.status) for run in runs] == ["succeeded"] * 3


@pytest.mark.parametrize("name", ["hang", "swallow"])
async def test_stop_while_a_callback_hangs(new_scheduler, hanging, name):
    """It does not wait for the callback longer than for a graph."""
    scheduler = new_scheduler(EchoGraph(), shutdown_grace_seconds=0)
    scheduler.start()
    scheduler.add_task(one_time(result_callback=f"hanging_callbacks.{name}"))
    await asyncio.wait_for(hanging.began.wait(), PATIENCE)
    await asyncio.wait_for(scheduler.stop(), PATIENCE)
    [run] = scheduler.list_runs()
    assert (run.status, run.error) == ("interrupted", "the scheduler was stopped")


async def test_a_callback_that_a_stop_cut_off_is_called_again(new_scheduler, hanging):
    """By the next start, where the graph has a checkpointer; the graph is not called again."""
    calls = []

    async def node(_state):
        calls.append("node")

    graph = chain(MessagesState, node=node).compile(InMemorySaver())
    first = new_scheduler(graph)
    first.start()
    first.add_task(one_time(result_callback="hanging_callbacks.first_hang"))
    await asyncio.wait_for(hanging.began.wait(), PATIENCE)
    await first.stop()
    second = new_scheduler(graph)
    second.start()
    [run] = await wait_for_runs(second, 1)
    assert (run.status, run.attempt, calls, hanging.seen) == ("succeeded", 2, ["node"], ["cancelled", "called"])


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "60", None])
def test_callback_timeout_that_is_none(seconds):
    """A limit is needed: a callback without one could keep its slot for good."""
    with pytest.raises(ValueError, match=r"callback_timeout_seconds=.*; give a number"):
        TaskScheduler(persistent=False, callback_timeout_seconds=seconds)


# --- Input builders ---


def blocking_builder():
    """Return a builder that blocks its thread until an event is set, the event, and where it was called."""
    release, threads = threading.Event(), []

    def build(task):
        threads.append(threading.current_thread())
        release.wait(PATIENCE)
        return {"messages": [{"role": "user", "content": task.prompt}]}

    return build, release, threads


async def test_an_input_builder_that_blocks(new_scheduler, echo):
    """It has a thread of its own: neither the loop nor runs of other tasks wait for it, and it delays no other one."""
    build, release, threads = blocking_builder()
    scheduler = new_scheduler(echo, input_builder=build)
    scheduler.start()
    scheduler.add_tasks(one_time(f"t{each}") for each in range(20))
    async with asyncio.timeout(PATIENCE):
        while len(threads) < 20:
            await scheduler.scheduler.pass_done.wait()
    assert echo.calls == []
    assert await asyncio.to_thread(lambda: "the loop's own threads are free") is not None
    release.set()
    assert {run.status for run in await wait_for_runs(scheduler, 20)} == {"succeeded"}
    assert threading.main_thread() not in threads
    assert all(thread.daemon for thread in threads)


async def test_an_input_builder_that_never_returns(echo):
    """It counts for `timeout_seconds`, as the graph does."""
    build, release, _ = blocking_builder()
    runner = a_runner(echo, input_builder=build)
    outcome = await runner.run(a_claim(a_task(timeout_seconds=0.05)))
    assert (outcome.status, outcome.error) == (RunStatus.TIMED_OUT, "TimeoutError: longer than timeout_seconds=0.05")
    assert echo.calls == []
    release.set()


async def test_stop_while_an_input_builder_never_returns(new_scheduler, echo):
    """It is no reason to wait."""
    build, release, threads = blocking_builder()
    scheduler = new_scheduler(echo, input_builder=build)
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_until(lambda: threads, scheduler)
    await asyncio.wait_for(scheduler.stop(), PATIENCE)
    assert [str(run.status) for run in scheduler.list_runs()] == ["interrupted"]
    release.set()


async def test_an_import_that_never_ends(module, echo):
    """It counts for `timeout_seconds` as well; the next run waits for the same import, and begins no second one."""
    source = """
        import threading
        release = threading.Event()
        sys_modules = __import__("sys").modules
        sys_modules["import_is_released"] = release
        release.wait(20)
        async def notify(task, result): ...
    """
    name = module("endless_import", source)
    load_callback.cache_clear()
    runner, claim = a_runner(echo), a_claim(a_task(result_callback=f"{name}.notify", timeout_seconds=0.2))
    threads = threading.active_count()
    for _ in range(3):
        outcome = await runner.run(claim)
        assert outcome.status is RunStatus.TIMED_OUT
    assert threading.active_count() <= threads + 1
    sys.modules.pop("import_is_released").set()
    async with asyncio.timeout(PATIENCE):
        while (await runner.run(claim)).status is not RunStatus.SUCCEEDED:
            pass


@pytest.mark.parametrize("error", [StopIteration(5), ValueError("no input"), KeyError("key")], ids=repr)
async def test_an_input_builder_that_raises(echo, error):
    """Whatever it is, the run fails with it."""

    def build(task):
        raise error

    outcome = await a_runner(echo, input_builder=build).run(a_claim())
    assert outcome.status is RunStatus.FAILED
    assert repr(error.args[0]) in outcome.error or str(error.args[0]) in outcome.error


def test_the_earlier_name_of_the_package():
    """It leads to the same module."""
    from scheduler import graphs, runner

    assert runner.callbacks is graphs.callbacks
