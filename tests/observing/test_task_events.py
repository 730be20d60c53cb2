"""Listeners receive what happens to tasks; and a run whose callback failed is not a plain success."""

import sys
from datetime import UTC, datetime, timedelta

import pytest
from helpers import FailingGraph, hourly, one_time, rows, wait_for_runs, wait_until
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from observing_kit import Listening
from session_kit import approve, chain

from scheduler import RunEvent, RunEventKind, RunStatus, TaskEvent, TaskEventKind


@pytest.fixture
def told():
    return Listening()


def in_seconds(seconds):
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.fixture
def callbacks(tmp_path, monkeypatch):
    """Return the name of a module with callbacks that fail, one with a bound."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "failing_callbacks.py").write_text(
        "import asyncio\n"
        "async def raising(task, result): raise ValueError('no mail')\n"
        "async def endless(task, result): await asyncio.Event().wait()\n"
        "async def fine(task, result): pass\n"
    )
    yield "failing_callbacks"
    sys.modules.pop("failing_callbacks", None)


@pytest.mark.parametrize("name", ["raising", "endless"])
async def test_a_callback_that_fails(new_scheduler, told, callbacks, name):
    """The run is stored as succeeded, and its one event at the end says that the callback failed."""
    scheduler = new_scheduler(on_event=told, callback_timeout_seconds=0.05)
    scheduler.start()
    scheduler.add_task(hourly(result_callback=f"{callbacks}.{name}"))
    scheduler.trigger_task("hourly")
    [event] = await told.wait_for("callback_failed")
    assert told.kinds() == ["started", "callback_failed"]
    assert event.run.status is RunStatus.SUCCEEDED
    assert event.run.error.startswith("result_callback: ")
    assert event.run.response.startswith("Echo: ")
    assert event.run == scheduler.get_run(event.run.id)


async def test_a_callback_that_does_not_fail(new_scheduler, told, callbacks):
    """It is a plain success."""
    scheduler = new_scheduler(on_event=told)
    scheduler.start()
    scheduler.add_task(hourly(result_callback=f"{callbacks}.fine"))
    scheduler.trigger_task("hourly")
    await told.wait_for("succeeded")
    assert told.kinds() == ["started", "succeeded"]


async def test_a_task_that_its_failures_pause(new_scheduler, told, caplog):
    """An event after that of the run, and a line in the log."""
    scheduler = new_scheduler(FailingGraph(), on_event=told)
    scheduler.start()
    scheduler.add_task(hourly(pause_after_failures=2))
    for number in (1, 2):
        scheduler.trigger_task("hourly")
        await wait_for_runs(scheduler, number)
    [event] = await told.wait_for("paused")
    reason = "2 runs in a row failed, the last with ValueError: no such city"
    assert (event.task_id, event.reason, event.run) == ("hourly", reason, scheduler.list_runs()[0])
    assert scheduler.list_tasks()[0]["pause_reason"] == reason
    assert f"Task hourly is paused: {reason}" in caplog.messages
    assert TaskEvent.model_validate_json(event.model_dump_json()) == event


async def test_a_task_that_is_paused_by_a_call(new_scheduler, told):
    """Who calls knows it: there is no event."""
    scheduler = new_scheduler(on_event=told)
    scheduler.start()
    scheduler.add_task(hourly())
    scheduler.pause_task("hourly")
    scheduler.add_task(one_time())
    await told.wait_for("finished")
    assert [str(event.kind) for event in told.task_events] == ["finished"]


async def test_a_task_that_is_finished(new_scheduler, told):
    """After the event of its last run."""
    seen = []

    async def listen(event):
        seen.append(event)

    scheduler = new_scheduler(on_event=told)
    scheduler.add_listener(listen)
    scheduler.start()
    scheduler.add_task(one_time())
    [event] = await told.wait_for("finished")
    assert [str(each.kind) for each in seen] == ["started", "succeeded", "finished"]
    assert (event.kind, event.task_id, event.reason) == (TaskEventKind.FINISHED, "once", "its instant is over")
    assert event.run == seen[1].run


async def test_a_task_that_expires(new_scheduler, told, caplog):
    """Before it is finished."""
    caplog.set_level("INFO", "scheduler")
    scheduler = new_scheduler(on_event=told, poll_interval=0.05)
    scheduler.start()
    scheduler.add_task(hourly(interval_seconds=1, end_at=in_seconds(2.5)))
    await told.wait_for("finished")
    assert [str(event.kind) for event in told.task_events] == ["expiring", "finished"]
    expiring, finished = told.task_events
    assert expiring.at <= finished.at
    assert "no due time comes after end_at=" in expiring.reason
    assert f"Task hourly expires soon: {expiring.reason}" in caplog.messages


async def test_a_waiting_run_that_expires(new_scheduler, told, caplog, db_path):
    """A warning before it is cancelled, while an answer still helps."""
    graph = chain(MessagesState, approve=approve).compile(InMemorySaver())
    scheduler = new_scheduler(graph, on_event=told, poll_interval=0.02)
    scheduler.start()
    scheduler.add_task(one_time(expire_waiting_after_seconds=3600))
    [asked] = await told.wait_for("waiting")
    with rows(db_path) as store:
        store.execute("UPDATE scheduler_runs SET warn_at = 1")
    [event] = await told.wait_for("expiring")
    assert isinstance(event, RunEvent)
    assert event.run == asked.run
    scheduler.answer_run(asked.run.id, "yes")
    await told.wait_for("succeeded")
    assert told.kinds() == ["started", "waiting", "expiring", "started", "succeeded"]
    begin = f"Task once waits for an answer: run {event.run.id} is cancelled at"
    assert any(line.startswith(begin) for line in caplog.messages)


async def test_a_task_that_is_quarantined(new_scheduler, told, db_path):
    """Its row is damaged."""
    scheduler = new_scheduler(on_event=told)
    scheduler.add_task(one_time())
    with rows(db_path) as store:
        store.execute("UPDATE scheduler_tasks SET definition = '{'")
    scheduler.start()
    [event] = await told.wait_for("quarantined")
    assert (event.task_id, event.run) == ("once", None)
    assert event.reason == scheduler.list_tasks()[0]["problem"]


async def test_kinds_of_events_of_tasks_can_be_chosen(new_scheduler):
    """By their names or members, together with those of runs."""
    scheduler = new_scheduler()
    recorder, tasks, runs = Listening(), Listening(), Listening()
    scheduler.add_listener(recorder, ["finished", RunEventKind.STARTED])
    scheduler.add_listener(tasks, TaskEventKind)
    scheduler.add_listener(runs, RunEventKind)
    scheduler.start()
    scheduler.add_task(one_time())
    await recorder.wait_for("finished")
    await scheduler.stop()
    assert (recorder.kinds(), len(recorder.task_events)) == (["started"], 1)
    assert (tasks.events, len(tasks.task_events)) == ([], 1)
    assert (runs.kinds(), runs.task_events) == (["started", "succeeded"], [])
    with pytest.raises(ValueError, match=r"events names 'finish'; give some of started, .*quarantined"):
        scheduler.add_listener(recorder, ["finish"])


async def test_a_listener_that_raises_at_the_event_of_a_task(new_scheduler, caplog):
    """The log names the task."""

    async def fail(event):
        raise LookupError

    scheduler = new_scheduler()
    scheduler.add_listener(fail, ["finished"])
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_until(lambda: "fail failed at finished of task once" in caplog.text, scheduler)
