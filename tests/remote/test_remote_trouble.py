"""A LangGraph server that is down, restarts or forgets; and schedulers that stop, freeze or die while it works."""

import asyncio
import signal
import uuid

import pytest
from helpers import one_time, soon, wait_for_runs, wait_until
from remote_kit import GraphServer, begin, needs_server, over, process

from scheduler import RunStatus

needs_server()


@pytest.fixture
def own_server(gate, tmp_path):
    """Return a server that the test may kill."""
    server = GraphServer(tmp_path, gate)
    yield server
    server.kill()


async def test_an_assistant_that_is_not_there_is_told_of_at_the_start(new_scheduler, server, caplog):
    """And the run says which graphs there are."""
    graph = f"langgraph+{server.url}/nobody"
    async with new_scheduler(graph, poll_interval=0.05) as scheduler:
        run = await over(scheduler, begin(scheduler))
    assert run.status is RunStatus.FAILED
    assert "the server answers 422" in run.error
    assert "steps" in run.error
    assert "Graph 'nobody' not found" in caplog.text


async def test_a_server_that_is_ready_is_not_told_of(remote_scheduler, gate, caplog):
    """Nothing is logged at the start, or later, above the level of information."""
    async with remote_scheduler() as scheduler:
        await over(scheduler, begin(scheduler))
        if looking := [task for task in asyncio.all_tasks() if task.get_name() == "look at the server"]:
            await asyncio.wait(looking)
    assert [record for record in caplog.records if record.name == "scheduler" and record.levelname != "INFO"] == []


async def test_a_stopped_scheduler_continues_at_the_next_start(remote_scheduler, gate, news):
    """The running step is cancelled on the server; the next scheduler starts with that step."""
    gate.hold("b")
    async with remote_scheduler() as scheduler:
        run_id = begin(scheduler)
        await news("b")
    await news("b cancelled")
    async with remote_scheduler() as scheduler:
        await news("b")
        gate.open("b")
        run = await over(scheduler, run_id)
    assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 2, True)
    assert gate.began == ["a", "b", "b", "c"]


async def test_a_killed_scheduler_continues_in_another_process(server, remote_scheduler, gate, news, db_path):
    """The server notices that its client is gone, and cancels; the run continues with the step that was running."""
    scheduler = remote_scheduler()
    run_id = begin(scheduler)
    gate.hold("b")
    with process(str(db_path), server.graph) as child:
        await news("b")
        child.send_signal(signal.SIGKILL)
        await news("b cancelled")
    async with scheduler:
        await news("b")
        gate.open("b")
        run = await over(scheduler, run_id)
    assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 2, True)
    assert gate.began == ["a", "b", "b", "c"]


async def test_a_run_that_goes_on_without_its_scheduler_is_joined(server, remote_scheduler, gate, news, db_path):
    """A scheduler that is frozen loses its run to another one, which waits for the server's run: no step runs twice."""
    scheduler = remote_scheduler(lease_seconds=1)
    run_id = begin(scheduler)
    gate.hold("b")
    with process(str(db_path), server.graph, lease_seconds=1) as child:
        await news("b")
        child.send_signal(signal.SIGSTOP)
        async with scheduler:
            await wait_until(lambda: scheduler.list_runs()[0].attempt == 2, scheduler)
            gate.open("b")
            run = await over(scheduler, run_id)
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, "c 3")
    assert gate.began == ["a", "b", "c"]


async def test_a_server_that_restarts_and_has_forgotten(own_server, new_scheduler, gate, news):
    """The attempt is `interrupted`; with `rerun_after_crash` the run starts again when the server is back."""
    gate.hold("b")
    async with new_scheduler(own_server.graph, poll_interval=0.05) as scheduler:
        run_id = begin(scheduler, rerun_after_crash=True, max_attempts=20)
        await news("b")
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        await news("b")
        gate.open("b")
        run = await over(scheduler, run_id)
    assert (run.status, run.resumed) == (RunStatus.SUCCEEDED, False)
    first = run.earlier_attempts[0]
    assert first.status is RunStatus.INTERRUPTED
    assert "the connection was lost while the graph ran" in first.error


async def test_several_processes_share_a_database_and_a_server(server, new_scheduler, gate, postgres_url):
    """On PostgreSQL: each due time runs once on the server, whichever process has it."""
    scheduler = new_scheduler(server.graph, db_path="unused", db_url=postgres_url)
    names = [f"task-{number}" for number in range(8)]
    with process(postgres_url, server.graph), process(postgres_url, server.graph):
        scheduler.add_tasks(one_time(name, soon(3_000), session_id=f"{name}-{uuid.uuid4().hex}") for name in names)
        async with scheduler:
            runs = await wait_for_runs(scheduler, len(names))
    assert {run.task_id: run.status for run in runs} == dict.fromkeys(names, RunStatus.SUCCEEDED)
    assert sorted(gate.prompts) == sorted(f"Prompt of {name}" for name in names for _ in "abc")
