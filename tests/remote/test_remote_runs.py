"""Runs on a real LangGraph server: what a graph here does, a graph there does as well."""

import asyncio
import uuid

import pytest
from helpers import PATIENCE, EchoGraph, hourly, soon, wait_for_runs
from langgraph.pregel.remote import RemoteGraph
from remote_kit import begin, needs_server, over

from scheduler import OverlapPolicy, RunStatus
from scheduler.errors import ServerError
from scheduler.graphs import graph_config, graph_input
from scheduler.graphs.server import ServerGraph
from scheduler.models import RunTrigger
from scheduler.store import Claim

needs_server()

seen = []


async def callback(task, result):
    """Note the last message."""
    seen.append((task.id, result["messages"][-1]))


def session_of(session):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"scheduler:{session}"))


async def test_a_run_executes_on_the_server(remote_scheduler, gate, client):
    """Its steps run there, and the thread is the uuid5 of the session; messages come back as dicts."""
    session = uuid.uuid4().hex
    async with remote_scheduler() as scheduler:
        run = await over(scheduler, begin(scheduler, session_id=session, result_callback="test_remote_runs.callback"))
    assert (run.status, run.response, run.error) == (RunStatus.SUCCEEDED, "c 3", None)
    assert gate.began == ["a", "b", "c"]
    assert run.thread_id == f"scheduler:{session}"
    assert seen.pop()[1]["content"] == "c 3"
    (there,) = await client.runs.list(session_of(session))
    assert there["metadata"]["scheduler_run_id"] == run.id
    (thread,) = await client.threads.search(metadata={"scheduler_thread": run.thread_id})
    assert thread["thread_id"] == session_of(session)


async def test_a_session_is_a_thread_of_the_server(remote_scheduler, gate):
    """The second run sees the messages of the first; a session of its own begins empty."""
    async with remote_scheduler() as scheduler:
        session = uuid.uuid4().hex
        scheduler.add_tasks([hourly("first", session_id=session), hourly("second", session_id=session)])
        scheduler.add_task(hourly("other", session_id=session, session_mode="per_run"))
        runs = [await over(scheduler, scheduler.trigger_task(each)) for each in ("first", "second", "other")]
    assert [run.response for run in runs] == ["c 3", "c 7", "c 3"]


async def test_a_session_that_is_a_uuid_names_a_thread(remote_scheduler, gate, client):
    """So a task can continue a conversation that another program started on the server."""
    thread = str(uuid.uuid4())
    await client.threads.create(thread_id=thread)
    said = {"messages": [{"role": "user", "content": "Hello."}]}
    await client.runs.wait(thread, "steps", input=said)
    async with remote_scheduler() as scheduler:
        run = await over(scheduler, begin(scheduler, session_id=thread))
    assert run.response == "c 7"


async def test_runs_of_one_thread_go_one_at_a_time(remote_scheduler, gate, news):
    """A server keeps threads, so the second run is pending until the first is over, whichever task it is of."""
    gate.hold("b")
    async with remote_scheduler() as scheduler:
        session = uuid.uuid4().hex
        scheduler.add_tasks([hourly("first", session_id=session), hourly("second", session_id=session)])
        first, second = scheduler.trigger_task("first"), scheduler.trigger_task("second")
        await news("b")
        await scheduler.scheduler.pass_done.wait()
        assert [scheduler.get_run(each).status for each in (first, second)] == [RunStatus.RUNNING, RunStatus.PENDING]
        gate.open("b")
        assert (await over(scheduler, second)).response == "c 7"


async def test_a_task_names_a_graph_on_a_server(remote_scheduler, gate, server):
    """Beside a scheduler's graph here; each task goes where it belongs."""
    async with remote_scheduler(EchoGraph()) as scheduler:
        here, there = begin(scheduler), begin(scheduler, task_id="there", graph=server.graph)
        assert (await over(scheduler, here)).response == "Echo: Prompt of hourly"
        assert (await over(scheduler, there)).response == "c 3"


async def test_a_remote_graph_is_a_graph(remote_scheduler, gate, server, client):
    """With the config that it was given."""
    remote = RemoteGraph("steps", url=server.url, config={"tags": ["mine"], "metadata": {"team": "night"}})
    session = uuid.uuid4().hex
    async with remote_scheduler(remote) as scheduler:
        run = await over(scheduler, begin(scheduler, session_id=session))
    await remote.client.aclose()
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, "c 3")
    (there,) = await client.runs.list(session_of(session))
    assert there["kwargs"]["config"]["tags"] == ["mine", "scheduler"]
    assert there["metadata"]["team"] == "night"


async def test_a_graph_that_raises_there_fails_here(remote_scheduler, gate):
    """With the type and message of what it raised."""
    gate.failures["b"] = 1
    async with remote_scheduler() as scheduler:
        run = await over(scheduler, begin(scheduler))
    assert run.status is RunStatus.FAILED
    assert "/steps: ValueError: b fails" in run.error


async def test_a_retry_continues_with_the_step_that_failed(remote_scheduler, gate):
    """Step a is not run again; with `retry_from_start`, it is."""
    gate.failures["b"] = 1
    async with remote_scheduler() as scheduler:
        again = {"max_attempts": 2, "retry_delay_seconds": 0}
        run = await over(scheduler, begin(scheduler, **again))
        assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 2, True)
        assert gate.began == ["a", "b", "b", "c"]
        gate.reset()
        gate.failures["b"] = 1
        run = await over(scheduler, begin(scheduler, task_id="from_start", retry_from_start=True, **again))
        assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 2, False)
        assert gate.began == ["a", "b", "a", "b", "c"]


async def test_a_time_out_cancels_the_run_there(remote_scheduler, gate, news, client):
    """The run is `timed_out`, and the server's run is cancelled."""
    gate.hold("a")
    session = uuid.uuid4().hex
    async with remote_scheduler() as scheduler:
        run_id = begin(scheduler, session_id=session, timeout_seconds=8)
        await news("a cancelled")
        run = await over(scheduler, run_id)
    assert run.status is RunStatus.TIMED_OUT
    (there,) = await client.runs.list(session_of(session))
    await client.runs.join(session_of(session), there["run_id"])
    assert (await client.runs.get(session_of(session), there["run_id"]))["status"] == "interrupted"


async def test_cancel_run_ends_the_run_there(remote_scheduler, gate, news, client):
    """Within the poll interval, with the reason; the server's run is over, too."""
    gate.hold("a")
    session = uuid.uuid4().hex
    async with remote_scheduler() as scheduler:
        run_id = begin(scheduler, session_id=session)
        await news("a")
        scheduler.cancel_run(run_id, "wrong prompt")
        await news("a cancelled")
        run = await over(scheduler, run_id)
    assert (run.status, run.error) == (RunStatus.CANCELLED, "wrong prompt")
    (there,) = await client.runs.list(session_of(session))
    await client.runs.join(session_of(session), there["run_id"])
    assert (await client.runs.get(session_of(session), there["run_id"]))["status"] == "interrupted"


async def test_a_cancel_is_passed_on(remote_scheduler, gate, news):
    """`CANCEL_OTHER` ends the step on the server, and the next run begins when it has ended."""
    gate.hold("b")
    async with remote_scheduler() as scheduler:
        fields = {"overlap": OverlapPolicy.CANCEL_OTHER, "session_id": uuid.uuid4().hex}
        begin(scheduler, **fields)
        await news("b")
        scheduler.add_task(hourly(start_at=soon(1_000), **fields))
        await news("b cancelled")
        await news("b")
        gate.open("b")
        second, first = await wait_for_runs(scheduler, 2)
    assert (first.status, second.status) == (RunStatus.CANCELLED, RunStatus.SUCCEEDED)


async def test_a_run_that_was_cancelled_there_is_cancelled_here(remote_scheduler, gate, news, client):
    """What the server returns of it, its unfinished state, is no result."""
    gate.hold("b")
    session = uuid.uuid4().hex
    async with remote_scheduler() as scheduler:
        run_id = begin(scheduler, session_id=session, max_attempts=3)
        await news("b")
        (there,) = await client.runs.list(session_of(session))
        await client.runs.cancel(session_of(session), there["run_id"])
        run = await over(scheduler, run_id)
    assert (run.status, run.attempt) == (RunStatus.CANCELLED, 1)
    assert "the run was cancelled on the server" in run.error


async def test_a_thread_of_a_single_run_is_deleted_there(remote_scheduler, gate, client):
    """After `session_retention`."""
    async with remote_scheduler() as scheduler:
        run = await over(scheduler, begin(scheduler, session_mode="per_run", session_retention=0.001))
        async with asyncio.timeout(PATIENCE):
            while await client.threads.search(metadata={"scheduler_thread": run.thread_id}):
                await scheduler.scheduler.pass_done.wait()


@pytest.fixture
def one_run(server):
    """Return a graph on the server, and what it is invoked with for a task."""
    task = hourly(session_id=uuid.uuid4().hex)
    claim = Claim("a-run", task, 0, 1, 0, RunTrigger.SCHEDULE, f"scheduler:{task.session_id}", None)
    return ServerGraph.at(server.graph), graph_input(task), graph_config(claim)


async def test_steps_are_told_as_they_end(one_run, gate, news):
    """The first one arrives while the second is running; the state arrives last."""
    gate.hold("b")
    graph, given, config = one_run
    stream = graph.astream(given, config, stream_mode=["updates", "values"])
    mode, update = await anext(stream)
    await news("b")
    gate.open("b")
    rest = [part async for part in stream]
    assert (mode, list(update)) == ("updates", ["a"])
    assert [list(content) for _, content in rest] == [["b"], ["c"], ["messages"]]
    assert rest[-1][0] == "values"


async def test_a_streamed_run_that_fails_or_is_cancelled(one_run, gate, news):
    """It raises what `ainvoke` raises; its cancel is passed on."""
    graph, given, config = one_run
    gate.failures["b"] = 1
    with pytest.raises(ServerError, match="ValueError: b fails"):
        _ = [part async for part in graph.astream(given, config)]
    gate.reset()
    gate.hold("b")
    running = asyncio.ensure_future(anext(part async for part in graph.astream(given, config) if part[0] == "values"))
    await news("b")
    running.cancel()
    await news("b cancelled")
    assert (await asyncio.wait([running]))[0].pop().cancelled()
