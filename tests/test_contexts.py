"""Runs, passes and threads see no context variables of whoever starts the scheduler, triggers a run or adds a job."""

import asyncio
import concurrent.futures
import contextvars
import importlib
import sys
import types

import pytest
from apscheduler.events import EVENT_JOB_EXECUTED
from helpers import PATIENCE, EchoGraph, hourly, one_time, wait_for_runs, wait_until
from langchain_core.tracers.context import collect_runs
from langgraph.graph import MessagesState
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from session_kit import chain

from scheduler.graphs.callbacks import load_builder, load_callback

user = contextvars.ContextVar("user", default="nobody")


@pytest.fixture
def seen(monkeypatch):
    """Return what the hooks of a task have seen; they are found as `hooks_of_a_test.…`."""
    module = types.ModuleType("hooks_of_a_test")
    module.seen = {}

    def build(task):
        module.seen["builder"] = user.get()
        return {"messages": [("user", task.prompt)]}

    async def notify(task, result):
        module.seen["callback"] = user.get()

    module.build, module.notify = build, notify
    monkeypatch.setitem(sys.modules, "hooks_of_a_test", module)
    load_builder.cache_clear()
    load_callback.cache_clear()
    return module.seen


def looking_graph(seen):
    async def node(state):
        seen["node"] = user.get()
        seen["task of the node"] = await asyncio.create_task(asyncio.sleep(0, user.get()))
        return {}

    def sync_node(state):
        seen["sync node"] = user.get()
        return {"messages": [("ai", "done")]}

    return chain(MessagesState, node=node, sync_node=sync_node).compile()


async def in_a_request(function, *arguments):
    """Call something as the request of a user would, in a context of its own."""

    async def request():
        user.set("alice")
        return function(*arguments)

    return await asyncio.create_task(request())


async def test_a_run_sees_nothing_of_the_request_that_started_the_scheduler(new_scheduler, seen):
    """Neither do its nodes, its input builder, its callback, nor the threads of synchronous nodes."""
    scheduler = new_scheduler(looking_graph(seen))
    scheduler.add_task(one_time(input_builder="hooks_of_a_test.build", result_callback="hooks_of_a_test.notify"))
    await in_a_request(scheduler.start)
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.response) == ("succeeded", "done")
    places = ["builder", "node", "task of the node", "sync node", "callback"]
    assert seen == dict.fromkeys(places, "nobody")


async def test_a_run_sees_nothing_of_the_request_that_triggered_it(new_scheduler, seen):
    """A trigger only queues the run."""
    scheduler = new_scheduler(looking_graph(seen))
    scheduler.start()
    scheduler.add_task(hourly())
    await in_a_request(scheduler.trigger_task, "hourly")
    await wait_for_runs(scheduler, 1)
    assert set(seen.values()) == {"nobody"}


async def test_a_run_sees_nothing_of_the_run_before(new_scheduler):
    """What a graph sets is gone with its run, also where a slot passes from one run to the next."""

    class Setting(EchoGraph):
        async def ainvoke(self, given, config=None):
            self.calls.append(user.get())
            user.set("the run before")
            return {}

    graph = Setting()
    scheduler = new_scheduler(graph, max_concurrent_runs=1)
    scheduler.add_tasks(one_time(f"t{each}") for each in range(3))
    scheduler.start()
    await wait_for_runs(scheduler, 3)
    assert graph.calls == ["nobody"] * 3


async def test_a_tracer_of_the_request_holds_no_runs(new_scheduler, seen):
    """LangChain's tracers are context variables, too."""

    def start():
        with collect_runs() as collected:
            scheduler.start()
        return collected

    scheduler = new_scheduler(looking_graph(seen))
    scheduler.add_task(one_time())
    collected = await in_a_request(start)
    await wait_for_runs(scheduler, 1)
    assert collected.traced_runs == []


@pytest.mark.parametrize("telemetry", [False, True])
async def test_a_span_of_the_request_has_no_runs_in_it(new_scheduler, telemetry):
    """OpenTelemetry's current span is a context variable as well: each run is the root of a trace of its own."""
    spans = []

    class Looking(EchoGraph):
        async def ainvoke(self, given, config=None):
            spans.append(trace.get_current_span().get_span_context())
            return {}

    scheduler = new_scheduler(Looking(), telemetry=telemetry)
    scheduler.add_task(one_time())
    with TracerProvider().get_tracer("request").start_as_current_span("request") as request:
        scheduler.start()
    await wait_for_runs(scheduler, 1)
    assert [span.trace_id for span in spans] != [request.get_span_context().trace_id]


async def test_passes_see_nothing_of_the_request_that_started_the_scheduler(new_scheduler, monkeypatch):
    """Nor does the store's thread where a library hands context variables on to threads, as OpenTelemetry can."""
    submitted = []
    submit = concurrent.futures.ThreadPoolExecutor.submit

    def submit_with_context(executor, *arguments):
        submitted.append(user.get())
        return submit(executor, *arguments)

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", submit_with_context)
    scheduler = new_scheduler()
    seen_users = []
    scheduler.scheduler.add_listener(lambda event: seen_users.append(user.get()), EVENT_JOB_EXECUTED)
    await in_a_request(scheduler.start)
    scheduler.add_task(one_time())
    await wait_for_runs(scheduler, 1)
    assert set(submitted) == {"nobody"}
    assert seen_users == ["nobody"]


@pytest.mark.parametrize("is_busy", [False, True])
async def test_jobs_of_the_programs_own_see_nothing_of_the_request_that_added_them(new_scheduler, is_busy):
    """What APScheduler fires besides tasks is fired in a new context, whoever woke it up."""
    seen = []
    done = asyncio.Event()

    async def job():
        seen.append(user.get())
        done.set()

    scheduler = new_scheduler()
    await in_a_request(scheduler.start)
    await scheduler.scheduler.pass_done.wait()
    scheduler.scheduler.engine._started.passes._is_busy = is_busy
    await in_a_request(scheduler.scheduler.add_job, job)
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert seen == ["nobody"]
    scheduler.scheduler.engine._started.passes._is_busy = False


async def test_the_graph_is_imported_in_a_new_context(new_scheduler, tmp_path, monkeypatch):
    """What a module looks up while it is imported is not the request's that happens to start the scheduler."""
    (tmp_path / "module_of_a_graph.py").write_text(
        "from helpers import EchoGraph\nfrom test_contexts import user\ngraph = EchoGraph()\nseen = user.get()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "test_contexts", sys.modules[__name__])
    importlib.invalidate_caches()
    scheduler = new_scheduler("module_of_a_graph:graph")
    await in_a_request(scheduler.start)
    assert sys.modules.pop("module_of_a_graph").seen == "nobody"


async def test_a_listener_sees_what_held_where_it_was_added(new_scheduler):
    """It was given there for good, unlike the scheduler's start, of which one is enough for everybody."""
    seen = []

    async def look(event):
        seen.append(user.get())

    scheduler = new_scheduler()
    await in_a_request(scheduler.add_listener, look)
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_until(lambda: len(seen) == 3, scheduler)  # started, succeeded, and the task is finished
    assert set(seen) == {"alice"}
