"""Graphs on a real LangGraph server that ask a human."""

import uuid

from helpers import wait_until
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
