"""Graphs that ask: runs that wait, their answers, and what becomes of their threads meanwhile."""

import asyncio
import math
import os
import signal
import threading
import time

import pytest
from helpers import PATIENCE, hourly, one_time, soon, wait_for_runs, wait_until
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from session_kit import Log, approve, asking, store_at

from scheduler import OverlapPolicy, RunNotFoundError, RunStatus, TaskScheduler

needs_signals = pytest.mark.skipif(os.name == "nt", reason="the signals are POSIX ones")


async def asked(scheduler, run_id):
    """Return a run when it waits."""
    await wait_until(lambda: scheduler.get_run(run_id).status is RunStatus.WAITING, scheduler)
    return scheduler.get_run(run_id)


async def over(scheduler, run_id):
    """Return a run when it is over."""
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id)


@pytest.fixture
async def waiting(scheduler_with):
    """Return a scheduler, and the run of its task `hourly` that waits for an answer."""
    scheduler = scheduler_with(asking(approve))
    scheduler.add_task(hourly(session_id="talk"))
    scheduler.start()
    return scheduler, await asked(scheduler, scheduler.trigger_task("hourly"))


async def test_a_run_waits_for_its_answer_and_goes_on(waiting):
    """The question is in the history; the answer is what `interrupt` returns."""
    scheduler, run = waiting
    (question,) = run.questions
    assert question.value == {"ask": "Go on?"}
    assert (run.finished_at, run.resumed, scheduler.list_runs(status="waiting")) == (None, False, [run])
    scheduler.answer_run(run.id, {"yes": [1, None]})
    run = await over(scheduler, run.id)
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, "It was {'yes': [1, None]}.")
    assert (run.attempt, run.resumed, run.questions) == (2, True, ())
    assert [attempt.status for attempt in run.earlier_attempts] == [RunStatus.WAITING]


async def test_an_answer_is_stored_where_no_scheduler_runs(waiting, scheduler_with, db_path):
    """It is given after the process has ended, by a process that runs no graph; the next start continues with it."""
    scheduler, run = waiting
    await scheduler.stop()
    face = TaskScheduler(db_path=db_path)
    face.answer_run(run.id, "yes")
    assert face.get_run(run.id).status is RunStatus.PENDING
    face.stop()
    again = scheduler_with(asking(approve))
    again.start()
    assert (await over(again, run.id)).response == "It was 'yes'."


async def test_wrong_answers_are_refused(waiting):
    """With what would be right; the run waits on."""
    scheduler, run = waiting
    for value in (math.nan, object(), {1, 2}, b"yes"):
        with pytest.raises(ValueError, match="the answer is no JSON"):
            scheduler.answer_run(run.id, value)
    with pytest.raises(RunNotFoundError):
        scheduler.answer_run("nobody", "yes")
    assert scheduler.get_run(run.id).status is RunStatus.WAITING
    scheduler.answer_run(run.id, {run.questions[0].id: "by its id"})
    with pytest.raises(ValueError, match="nothing is asked"):
        scheduler.answer_run(run.id, "twice")
    assert (await over(scheduler, run.id)).response == "It was 'by its id'."


async def first(_state):
    return {"messages": [AIMessage(f"first {interrupt('First?')}")]}


async def second(_state):
    return {"messages": [AIMessage(f"second {interrupt('Second?')}")]}


async def test_several_questions_at_once(scheduler_with):
    """Each has its id, and all of them are answered together."""
    scheduler = scheduler_with(asking(first, second))
    scheduler.add_task(hourly())
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    ids = {question.value: question.id for question in run.questions}
    assert set(ids) == {"First?", "Second?"}
    with pytest.raises(ValueError, match="it asks 2 questions; give a dict"):
        scheduler.answer_run(run.id, "yes")
    with pytest.raises(ValueError, match="give a dict of answers by their ids"):
        scheduler.answer_run(run.id, {ids["First?"]: 1, "nobody": 2})
    with pytest.raises(ValueError, match=f"answers are missing.*{ids['Second?']}"):
        scheduler.answer_run(run.id, {ids["First?"]: 1})
    scheduler.answer_run(run.id, {ids["First?"]: 1, ids["Second?"]: 2})
    assert (await over(scheduler, run.id)).response == "second 2"


async def twice(_state):
    return {"messages": [AIMessage(f"{interrupt('One?')} {interrupt('Two?')}")]}


async def test_one_question_after_the_other(scheduler_with):
    """A run may wait several times; each answer is for the question of its time."""
    scheduler = scheduler_with(asking(twice))
    scheduler.add_task(hourly())
    scheduler.start()
    run_id = scheduler.trigger_task("hourly")
    for question, answer in (("One?", "yes"), ("Two?", "no")):
        run = await asked(scheduler, run_id)
        assert [each.value for each in run.questions] == [question]
        scheduler.answer_run(run_id, answer)
    run = await over(scheduler, run_id)
    assert (run.response, run.attempt) == ("yes no", 3)


class Fragile:
    """Asks twice, and fails once between the two questions."""

    def __init__(self):
        self.fails = 1

    async def node(self, _state):
        one = interrupt("Delete it?")
        if self.fails:
            self.fails -= 1
            message = "between the questions"
            raise ValueError(message)
        return {"messages": [AIMessage(f"{one} {interrupt('Really?')}")]}


@pytest.mark.parametrize("inside", ["a node", "a graph in a node"])
async def test_an_answer_is_heard_once(scheduler_with, inside):
    """A node that fails after it was answered does not take that answer for its next question when it is retried."""
    graph = asking(Fragile().node)
    if inside == "a graph in a node":
        builder = StateGraph(Log)
        builder.add_node("inner", graph)
        builder.add_edge(START, "inner")
        graph = builder.compile()
    scheduler = scheduler_with(graph)
    scheduler.add_task(hourly(max_attempts=2, retry_delay_seconds=0))
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    scheduler.answer_run(run.id, "yes")
    await wait_until(lambda: scheduler.get_run(run.id).attempt == 3, scheduler)
    run = await asked(scheduler, run.id)
    assert [each.value for each in run.questions] == ["Really?"]
    scheduler.answer_run(run.id, "no")
    assert (await over(scheduler, run.id)).response == "yes no"


async def test_a_retry_from_the_start_asks_again(scheduler_with):
    """The graph gets its input again, so the answer is lost with the attempt that received it."""
    scheduler = scheduler_with(asking(Fragile().node))
    scheduler.add_task(hourly(max_attempts=2, retry_delay_seconds=0, retry_from_start=True))
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    scheduler.answer_run(run.id, "yes")
    await wait_until(lambda: scheduler.get_run(run.id).attempt == 3, scheduler)
    run = await asked(scheduler, run.id)
    assert [each.value for each in run.questions] == ["Delete it?"]


def eventually(condition):
    """Wait for what another process does to the store: there is nothing here that tells of it."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


@needs_signals
def test_a_kill_after_the_answer_was_taken(place, begin):
    """The answer is not lost, and not asked for again."""
    face = TaskScheduler(**store_at(place))
    face.add_task(hourly(prompt="ask-hold-b"))
    run_id = face.trigger_task("hourly")
    first = begin(place)
    eventually(lambda: face.get_run(run_id).status is RunStatus.WAITING)
    face.answer_run(run_id, "yes")
    first.wait_for("step b yes")
    first.kill()
    second = begin(place).wait_for("step b yes")
    second.command("go on")
    second.wait_for("step c")
    second.send(signal.SIGTERM)
    assert second.wait_for_end().steps() == ["b", "c"]
    run = face.get_run(run_id)
    assert (run.status, run.attempt, run.resumed) == (RunStatus.SUCCEEDED, 3, True)
    statuses = [attempt.status for attempt in run.earlier_attempts]
    assert statuses == [RunStatus.WAITING, RunStatus.INTERRUPTED]
    face.stop()


# --- While it waits ---


def due(task_id, policy):
    return one_time(task_id, soon(200), overlap=policy, session_id="talk")


@pytest.mark.parametrize(
    ("policy", "becomes"),
    [
        (OverlapPolicy.SKIP, RunStatus.SKIPPED),
        (OverlapPolicy.BUFFER_ONE, RunStatus.PENDING),
        (OverlapPolicy.BUFFER_ALL, RunStatus.PENDING),
        (OverlapPolicy.CANCEL_OTHER, RunStatus.PENDING),
        (OverlapPolicy.ALLOW_ALL, RunStatus.PENDING),
    ],
)
async def test_another_task_on_the_thread_follows_its_policy(waiting, policy, becomes):
    """No new input takes the place of the question; what waits begins when it was answered."""
    scheduler, run = waiting
    await asyncio.to_thread(scheduler.add_task, due("other", policy))
    await wait_until(lambda: scheduler.list_runs("other"), scheduler)
    (other,) = scheduler.list_runs("other")
    assert other.status is becomes
    by_hand = scheduler.trigger_task("other")
    await scheduler.scheduler.pass_done.wait()
    assert scheduler.get_run(by_hand).status is RunStatus.PENDING
    assert scheduler.get_run(run.id).status is RunStatus.WAITING
    scheduler.answer_run(run.id, "yes")
    assert (await over(scheduler, run.id)).response == "It was 'yes'."
    queued = other.id if becomes is RunStatus.PENDING else by_hand
    assert (await asked(scheduler, queued)).task_id == "other"


def every_second(**fields):
    return hourly("often", interval_seconds=1, **fields)


async def test_its_own_task_may_cancel_it(scheduler_with):
    """With `cancel_other`, the next due time cancels the waiting run and asks again."""
    scheduler = scheduler_with(asking(approve))
    scheduler.add_task(every_second(overlap=OverlapPolicy.CANCEL_OTHER, max_runs=2))
    scheduler.start()
    await wait_until(lambda: scheduler.list_runs("often", status="waiting"), scheduler)
    (run,) = await wait_for_runs(scheduler, 1)
    assert (run.status, run.questions) == (RunStatus.CANCELLED, ())
    (next_run,) = (each for each in scheduler.list_runs() if each.id != run.id)
    run = await asked(scheduler, next_run.id)
    scheduler.answer_run(run.id, "yes")
    assert (await over(scheduler, run.id)).response == "It was 'yes'."


async def test_its_own_task_skips_by_default(scheduler_with):
    """The due times are accounted for in one row, and the question stands."""
    scheduler = scheduler_with(asking(approve))
    scheduler.add_task(every_second())
    scheduler.start()
    await wait_until(lambda: scheduler.list_runs("often", status="skipped"), scheduler)
    (run,) = scheduler.list_runs("often", status="waiting")
    assert run.questions


async def test_a_thread_of_another_graph_is_not_held(waiting, tmp_path, monkeypatch):
    """A task of the same session whose graph keeps no threads runs on."""
    scheduler, _ = waiting
    (tmp_path / "plain_graph.py").write_text(
        "class Plain:\n    async def ainvoke(self, given, config=None):\n        return {'messages': ['plain']}\n"
        "graph = Plain()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    await asyncio.to_thread(scheduler.add_task, hourly("plain", graph="plain_graph:graph", session_id="elsewhere"))
    run = await over(scheduler, scheduler.trigger_task("plain"))
    assert (run.status, run.response) == (RunStatus.SUCCEEDED, "plain")
    await asyncio.to_thread(scheduler.add_task, one_time("now", soon(200), graph="plain_graph:graph"))
    await wait_until(lambda: scheduler.list_runs("now"), scheduler)
    (run,) = scheduler.list_runs("now")
    assert (await over(scheduler, run.id)).status is RunStatus.SUCCEEDED


# --- How the waiting ends without an answer ---


async def test_nobody_answers(scheduler_with):
    """After `expire_waiting_after_seconds` the run is cancelled, and the thread is free."""
    scheduler = scheduler_with(asking(approve))
    scheduler.add_tasks([hourly(expire_waiting_after_seconds=0.1), hourly("next")])
    scheduler.start()
    run = await over(scheduler, scheduler.trigger_task("hourly"))
    assert (run.status, run.error) == (
        RunStatus.CANCELLED,
        "nobody answered within expire_waiting_after_seconds",
    )
    with pytest.raises(ValueError, match="it is cancelled"):
        scheduler.answer_run(run.id, "yes")
    await asked(scheduler, scheduler.trigger_task("next"))


async def test_its_task_is_removed(waiting):
    """The run is cancelled, and the thread is free."""
    scheduler, run = waiting
    scheduler.add_task(hourly("next"))
    scheduler.remove_task("hourly")
    run = scheduler.get_run(run.id)
    assert (run.status, run.error) == (RunStatus.CANCELLED, "the task was removed before it could continue")
    await asked(scheduler, scheduler.trigger_task("next"))


async def test_a_one_time_task_that_waits_is_listed(scheduler_with):
    """As `waiting`; it is finished when its run is."""
    scheduler = scheduler_with(asking(approve))
    scheduler.start()
    await asyncio.to_thread(scheduler.add_task, one_time("once", soon(200)))
    await wait_until(lambda: scheduler.list_runs("once", status="waiting"), scheduler)
    assert [task["next_run"] for task in scheduler.list_tasks()] == ["waiting"]
    (run,) = scheduler.list_runs("once")
    scheduler.answer_run(run.id, "yes")
    await over(scheduler, run.id)
    assert scheduler.list_tasks() == []


# --- Questions of all kinds ---


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


class Odd:
    def __repr__(self):
        message = "no repr"
        raise RuntimeError(message)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("half \ud800", "half ?"),
        ({"n": math.inf, 1: (1, b"x")}, {"n": "inf", "1": [1, "b'x'"]}),
        (nested(400), None),
        (Odd, None),
        ([10**5_000], None),
    ],
    ids=["half a character", "no JSON", "nested", "odd", "a long integer"],
)
async def test_a_question_that_json_cannot_carry(new_scheduler, value, shown):
    """It is shown as well as can be, and does not stop the passes."""

    class Saver(InMemorySaver):
        async def aput_writes(self, *_arguments, **_others):
            """Keep no questions: what cannot be stored as JSON cannot always be stored here either."""

    async def node(_state):
        interrupt(value() if value is Odd else value)

    scheduler = new_scheduler(asking(node), checkpointer=Saver(), poll_interval=0.05)
    scheduler.add_task(hourly())
    scheduler.start()
    run = await asked(scheduler, scheduler.trigger_task("hourly"))
    assert shown is None or run.questions[0].value == shown


async def test_a_graph_without_a_checkpointer_cannot_ask(new_scheduler):
    """Its run fails, and the error says how to fix it: no run could continue with an answer."""
    scheduler = new_scheduler(asking(approve))
    scheduler.add_task(hourly())
    scheduler.start()
    run = await over(scheduler, scheduler.trigger_task("hourly"))
    assert run.status is RunStatus.FAILED
    assert "has no checkpointer to wait with" in run.error


async def test_an_answer_that_comes_too_late(waiting, saver):
    """Where the thread was moved on by others, the run fails and says so: nothing is answered at random."""
    scheduler, run = waiting
    config = {"configurable": {"thread_id": run.thread_id}}
    await asking(approve).copy(update={"checkpointer": saver}).ainvoke({"messages": ["Another."]}, config)
    scheduler.answer_run(run.id, "yes")
    run = await over(scheduler, run.id)
    assert (run.status, "has moved on" in run.error) == (RunStatus.FAILED, True)
