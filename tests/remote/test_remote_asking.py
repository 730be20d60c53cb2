"""Graphs on a real LangGraph server that ask a human."""

import uuid

from helpers import wait_until
from langchain_core.runnables import RunnableLambda
from langgraph.pregel.remote import RemoteGraph
from remote_kit import begin, needs_server, over

from scheduler import RunStatus

needs_server()


async def waiting(scheduler):
    """Return the run that waits for an answer."""
    await wait_until(lambda: scheduler.list_runs(status=RunStatus.WAITING), scheduler)
    return scheduler.list_runs(status=RunStatus.WAITING)[0]


async def test_a_graph_asks_and_is_answered_by_another_scheduler(remote_scheduler, gate):
    """The question is in the history; the answer continues the run where it asked, after a restart as well."""
    async with remote_scheduler() as scheduler:
        begin(scheduler, prompt="ask-b")
        run = await waiting(scheduler)
    assert run.questions[0].value == {"ask": "b?"}
    async with remote_scheduler() as scheduler:
        scheduler.answer_run(run.id, "yes")
        run = await over(scheduler, run.id)
    assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 2, True)
    assert gate.began == ["a", "b", "c"]


async def test_an_answer_is_given_once(remote_scheduler, gate, client):
    """A step that has heard the answer and fails is run again with that answer; it is not given to the server twice."""
    async with remote_scheduler() as scheduler:
        begin(scheduler, prompt="ask-b", max_attempts=2, retry_delay_seconds=0)
        run = await waiting(scheduler)
        gate.failures["b"] = 1
        scheduler.answer_run(run.id, "yes")
        run = await over(scheduler, run.id)
    assert (run.status, run.attempt) == (RunStatus.SUCCEEDED, 3)
    assert gate.began == ["a", "b", "b", "c"]
    thread = str(uuid.uuid5(uuid.NAMESPACE_URL, run.thread_id))
    commands = [each["kwargs"]["command"] for each in await client.runs.list(thread)]
    assert [command is None for command in commands] == [True, False, True]
    state = await client.threads.get_state(thread)
    assert [message["content"] for message in state["values"]["messages"]] == ["ask-b", "a 1", "b heard yes", "c 3"]


async def test_a_remote_graph_inside_runnables(remote_scheduler, server, gate, client):
    """A question there is answered, what follows the graph gets its result, and what the runnables say reaches it."""
    remote = RemoteGraph("steps", url=server.url)
    wrapped = remote.with_retry(stop_after_attempt=2).with_config(tags=["mine"], configurable={"model": "small"})
    async with remote_scheduler(
        wrapped | RunnableLambda(lambda result: result["messages"][-1]["content"])
    ) as scheduler:
        begin(scheduler, prompt="ask-b")
        run = await waiting(scheduler)
        scheduler.answer_run(run.id, "yes")
        run = await over(scheduler, run.id)
    await remote.client.aclose()
    assert (run.status, run.response, gate.began) == (RunStatus.SUCCEEDED, "c 3", ["a", "b", "c"])
    runs = await client.runs.list(str(uuid.uuid5(uuid.NAMESPACE_URL, run.thread_id)))
    assert [each["kwargs"]["config"]["configurable"]["model"] for each in runs] == ["small", "small"]
    assert {"mine", "scheduler"} <= set(runs[0]["kwargs"]["config"]["tags"])
    assert runs[0]["metadata"]["scheduler_run_id"] == run.id


async def test_a_breakpoint_that_is_bound_to_a_remote_graph(remote_scheduler, server, gate):
    """The server is asked to stop there."""
    remote = RemoteGraph("steps", url=server.url)
    async with remote_scheduler(remote.bind(interrupt_before=["c"])) as scheduler:
        begin(scheduler)
        run = await waiting(scheduler)
        assert (run.questions[0].value["next"], gate.began) == (["c"], ["a", "b"])
        scheduler.answer_run(run.id, "yes")
        assert (await over(scheduler, run.id)).status is RunStatus.SUCCEEDED
    await remote.client.aclose()
    assert gate.began == ["a", "b", "c"]
