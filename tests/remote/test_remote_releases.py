"""Graphs on a real LangGraph server that stop at a breakpoint, are released anew, or are restarted again and again."""

import asyncio
import uuid

import pytest
from helpers import wait_until
from remote_kit import begin, needs_server, over
from runner_kit import a_claim, a_runner, a_task

from scheduler import RunStatus
from scheduler.graphs import progress
from scheduler.graphs.server import ServerGraph

needs_server()

YES, NO = True, False


async def waiting(scheduler, run_id):
    """Return the one question of a run, when it waits."""
    await wait_until(lambda: scheduler.get_run(run_id).status is RunStatus.WAITING, scheduler)
    (question,) = scheduler.get_run(run_id).questions
    return question


def at(server, name):
    return f"langgraph+{server.url}/{name}"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_breakpoint_there(remote_scheduler, server, gate, stream):
    """The run waits with a question that says what comes next, also for another scheduler, and continues with a yes."""
    async with remote_scheduler(at(server, "stopping")) as scheduler:
        run_id = begin(scheduler, stream=stream)
        question = await waiting(scheduler, run_id)
    assert question.value == {"question": "Continue with 'b'?", "next": ["b"]}
    assert gate.began == ["a"]
    async with remote_scheduler(at(server, "stopping")) as scheduler:
        scheduler.answer_run(run_id, YES)
        run = await over(scheduler, run_id)
    assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 2, True)
    assert gate.began == ["a", "b", "c"]


async def test_a_breakpoint_that_is_not_passed(remote_scheduler, server, gate):
    """With a no the run is cancelled, and the next one on the thread begins with its own input."""
    session = uuid.uuid4().hex
    async with remote_scheduler(at(server, "stopping")) as scheduler:
        run_id = begin(scheduler, session_id=session)
        await waiting(scheduler, run_id)
        scheduler.answer_run(run_id, NO)
        run = await over(scheduler, run_id)
        assert (run.status, run.error) == (RunStatus.CANCELLED, "a human did not let the graph continue with 'b'")
        await waiting(scheduler, begin(scheduler, session_id=session))
    assert gate.began == ["a", "a"]


def attempts(server, name):
    """Return what makes attempts of one run with a graph on the server."""
    runner = a_runner(ServerGraph.at(at(server, name)))
    task = a_task()
    thread = f"scheduler:{uuid.uuid4().hex}"

    def attempt(number, **claim):
        claim = {"interrupted": tuple(range(1, number)), "last_status": RunStatus.INTERRUPTED, **claim}
        return runner.run(a_claim(task, thread_id=thread, attempt=number, checkpointed=True, **claim))

    return attempt


async def test_a_scheduler_that_dies_at_a_breakpoint(server, gate):
    """The next attempt waits as well: the server's run had ended well, and there is something left to do."""
    attempt = attempts(server, "stopping")
    first = await attempt(1, last_status=None)
    second = await attempt(2)
    assert (first.status, second.status, gate.began) == (RunStatus.WAITING, RunStatus.WAITING, ["a"])
    assert first.questions == second.questions
    third = await attempt(3, answers={first.questions[0].id: True}, last_status=RunStatus.WAITING)
    assert third.status is RunStatus.SUCCEEDED


@pytest.fixture
def release(server):
    """Return what releases the graph `released` with another name for its second step."""
    file = server.folder / "second_step"
    yield file.write_text
    file.unlink(missing_ok=True)


@pytest.fixture
async def stopped_in_b(remote_scheduler, server, gate, news):
    """Return a run of the graph `released` whose scheduler was stopped while it was in step b."""
    gate.hold("b")
    async with remote_scheduler(at(server, "released")) as scheduler:
        run_id = begin(scheduler)
        await news("b")
    await news("b cancelled")
    gate.reset()
    return run_id


async def test_a_step_that_was_renamed_while_its_question_waited(remote_scheduler, server, gate, release):
    """The answer would reach nobody: the run fails."""
    async with remote_scheduler(at(server, "released")) as scheduler:
        run_id = begin(scheduler, prompt="ask-b")
        await waiting(scheduler, run_id)
        release("new_b")
        scheduler.answer_run(run_id, "yes")
        run = await over(scheduler, run_id)
    assert (run.status, gate.began) == (RunStatus.FAILED, ["a"])
    assert "the graph no longer has the node where this run would continue" in run.error


async def test_a_step_that_was_renamed_while_the_scheduler_was_stopped(
    stopped_in_b, remote_scheduler, server, gate, release
):
    """The run was to continue there: it fails."""
    release("new_b")
    async with remote_scheduler(at(server, "released")) as scheduler:
        run = await over(scheduler, stopped_in_b)
    assert (run.status, gate.began) == (RunStatus.FAILED, [])
    assert "the graph no longer has the node where this run would continue" in run.error


async def test_a_step_that_is_still_there(stopped_in_b, remote_scheduler, server, gate):
    """The run continues."""
    async with remote_scheduler(at(server, "released")) as scheduler:
        run = await over(scheduler, stopped_in_b)
    assert (run.status, gate.began) == (RunStatus.SUCCEEDED, ["b", "c"])


async def test_a_run_that_is_restarted_without_progress_ends(server, gate, news, monkeypatch):
    """Each attempt is cut off in step b, as by a stop; after so many restarts the server is not asked again."""
    monkeypatch.setattr(progress, "RESTART_LIMIT", 2)
    attempt = attempts(server, "steps")
    number = 1
    while True:
        gate.reset()
        gate.hold("b")
        running = asyncio.ensure_future(attempt(number))
        entered = asyncio.ensure_future(news("b"))
        await asyncio.wait([running, entered], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            break
        running.cancel()
        await asyncio.wait([running])
        await news("b cancelled")
        number += 1
        assert number < 10
    gate._news.put("b")  # nobody waits for the step any more
    outcome = running.result()
    assert (outcome.status, number) == (RunStatus.INTERRUPTED, 4)
    assert "without progress" in outcome.error
