"""Listeners receive an event for each change of a run: in order, after it is stored, and without delaying anything."""

import asyncio
import contextvars
import functools
import threading

import pytest
from helpers import PATIENCE, BlockingGraph, EchoGraph, FailingGraph, hourly, one_time, rows, wait_for_runs
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from observing_kit import Listening
from session_kit import Steps, approve, chain

from scheduler import RunEvent, RunEventKind, RunStatus, TaskScheduler
from scheduler.models import OPEN_STATUSES
from scheduler.observing.listeners import QUEUE_LIMIT


@pytest.fixture
def recorder():
    return Listening()


# --- Which events are sent, and in which order ---


async def test_a_run_that_succeeds(new_scheduler, recorder):
    """Two events, each with the run as it was stored."""
    scheduler = new_scheduler(on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time())
    await recorder.wait_for("succeeded")
    began, ended = recorder.events
    assert recorder.kinds() == ["started", "succeeded"]
    assert (began.run.status, began.run.attempt, began.run.finished_at) == ("running", 1, None)
    assert began.run.id == ended.run.id
    assert ended.run == scheduler.get_run(ended.run.id)
    assert ended.at == ended.run.finished_at
    assert RunEvent.model_validate_json(ended.model_dump_json()) == ended


async def test_a_run_that_fails_and_is_tried_again(new_scheduler, recorder):
    """Each attempt begins; between two of them the run waits, and tells how the one before ended."""
    scheduler = new_scheduler(FailingGraph(), on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time(max_attempts=3, retry_delay_seconds=0))
    await recorder.wait_for("failed")
    assert recorder.kinds() == ["started", "retrying", "started", "retrying", "started", "failed"]
    first, second = [event.run for event in recorder.events if event.kind == "retrying"]
    assert (first.status, first.attempt, first.earlier_attempts[-1].status) == ("pending", 1, "failed")
    assert (second.attempt, len(second.earlier_attempts)) == (2, 2)
    assert [event.run.attempt for event in recorder.events if event.kind == "started"] == [1, 2, 3]
    assert recorder.events[-1].run.error == "ValueError: no such city"


async def test_a_run_that_takes_too_long(new_scheduler, recorder):
    """It timed out."""
    scheduler = new_scheduler(BlockingGraph(), on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time(timeout_seconds=0.01))
    await recorder.wait_for("timed_out")
    assert recorder.kinds() == ["started", "timed_out"]


async def test_due_times_that_are_skipped(new_scheduler, recorder, blocking):
    """With the row that says why."""
    scheduler = new_scheduler(blocking, on_event=recorder)
    scheduler.start()
    scheduler.add_task(hourly(interval_seconds=1))
    (event,) = (await recorder.wait_for("skipped"))[:1]
    assert recorder.kinds()[:2] == ["started", "skipped"]
    assert event.run.error == "the previous run was still running (overlap=skip)"
    assert event.run.started_at is None
    blocking.release.set()


async def test_due_times_that_are_missed(new_scheduler, recorder, db_path):
    """What was due while nobody looked, and may not be late."""
    before = new_scheduler()
    before.add_task(hourly("late", misfire_grace_seconds=0))
    before.stop()
    with rows(db_path) as store:
        store.execute("UPDATE scheduler_tasks SET next_due = anchor")
    scheduler = new_scheduler(on_event=recorder)
    scheduler.start()
    await recorder.wait_for("missed")
    assert recorder.kinds() == ["missed"]
    assert recorder.events[0].run == scheduler.get_run(recorder.events[0].run.id)


async def test_a_run_that_is_cancelled(new_scheduler, recorder, blocking):
    """By its task's next due time; the next run begins after it."""
    scheduler = new_scheduler(blocking, on_event=recorder, poll_interval=0.05)
    scheduler.start()
    scheduler.add_task(hourly(interval_seconds=1, overlap="cancel_other"))
    await recorder.wait_for("cancelled")
    await recorder.wait_for("started", 2)
    assert recorder.kinds()[:3] == ["started", "cancelled", "started"]


async def test_a_waiting_run_is_cancelled_when_nobody_answers(new_scheduler, recorder):
    """It was asked, and nobody came."""
    graph = chain(MessagesState, approve=approve).compile(InMemorySaver())
    scheduler = new_scheduler(graph, on_event=recorder, poll_interval=0.05)
    scheduler.start()
    scheduler.add_task(one_time(expire_waiting_after_seconds=0.1))
    await recorder.wait_for("cancelled")
    assert recorder.kinds() == ["started", "waiting", "cancelled"]
    assert recorder.events[1].run.questions[0].value == {"ask": "Go on?"}


async def test_a_run_that_is_answered(new_scheduler, recorder):
    """It begins a second attempt."""
    graph = chain(MessagesState, approve=approve).compile(InMemorySaver())
    scheduler = new_scheduler(graph, on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time())
    (asked,) = await recorder.wait_for("waiting")
    scheduler.answer_run(asked.run.id, "yes")
    await recorder.wait_for("succeeded")
    assert recorder.kinds() == ["started", "waiting", "started", "succeeded"]


async def test_a_waiting_run_that_is_cancelled_by_the_next_due_time(new_scheduler, recorder):
    """No attempt of this process is running, and the event is sent anyway."""
    graph = chain(MessagesState, approve=approve).compile(InMemorySaver())
    scheduler = new_scheduler(graph, on_event=recorder, poll_interval=0.05)
    scheduler.start()
    scheduler.add_task(hourly(interval_seconds=1, overlap="cancel_other"))
    await recorder.wait_for("waiting", 2)
    assert recorder.kinds()[:4] == ["started", "waiting", "cancelled", "started"]


async def test_a_run_that_the_stop_cuts_off(new_scheduler, recorder, blocking):
    """`stop()` delivers what it has made itself."""
    scheduler = new_scheduler(blocking, on_event=recorder)
    scheduler.start()
    scheduler.add_task(one_time())
    await blocking.entered.wait()
    await scheduler.stop()
    assert recorder.kinds() == ["started", "interrupted"]
    assert recorder.events[-1].run.status is RunStatus.INTERRUPTED


async def test_a_run_that_will_go_on_after_the_stop(new_scheduler, recorder):
    """It is interrupted and can be continued, so a further attempt will follow."""
    steps = Steps()
    entered = asyncio.Event()

    async def wait(_state):
        entered.set()
        await asyncio.Event().wait()

    steps.gates["b"] = wait
    scheduler = new_scheduler(steps.graph(), on_event=recorder, checkpointer=InMemorySaver())
    scheduler.start()
    scheduler.add_task(one_time())
    await entered.wait()
    await scheduler.stop()
    assert recorder.kinds() == ["started", "retrying"]
    assert recorder.events[-1].run.earlier_attempts[-1].status == "interrupted"


async def test_a_run_whose_process_died(new_scheduler, recorder, db_path):
    """Whoever finds it tells of it."""
    before = new_scheduler()
    before.add_task(hourly())
    run_id = before.trigger_task("hourly")
    before.stop()
    with rows(db_path) as store:
        store.execute("UPDATE scheduler_runs SET status = 'running', owner = 'nobody', attempt = 1, started_at = 1")
    scheduler = new_scheduler(on_event=recorder)
    scheduler.start()
    await recorder.wait_for("interrupted")
    assert [(str(event.kind), event.run.id) for event in recorder.events] == [("interrupted", run_id)]


def test_the_words_are_those_of_the_statuses():
    """Each status in which a run can be left has its event, and some are for what happens on the way."""
    statuses = {str(status) for status in RunStatus if status not in OPEN_STATUSES} | {"waiting"}
    assert set(RunEventKind) == statuses | {"started", "step_finished", "retrying", "expiring", "callback_failed"}


# --- When events are sent ---


async def test_a_listener_sees_what_is_stored(new_scheduler):
    """`get_run` in a listener shows the status of the event."""
    seen = []
    done = asyncio.Event()

    async def look(event):
        run = await asyncio.to_thread(scheduler.get_run, event.run.id)
        seen.append((str(event.kind), str(run.status)))
        if event.kind == "failed":
            done.set()

    scheduler = new_scheduler(FailingGraph())
    scheduler.add_listener(look, RunEventKind)
    scheduler.start()
    scheduler.add_task(one_time(max_attempts=2, retry_delay_seconds=60))
    async with asyncio.timeout(PATIENCE):
        while len(seen) < 2:
            await scheduler.scheduler.pass_done.wait()
    assert seen == [("started", "running"), ("retrying", "pending")]
    scheduler.add_task(one_time("other"))
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert seen[2:] == [("started", "running"), ("failed", "failed")]


# --- Nobody is in anybody's way ---


async def test_a_slow_listener_delays_nobody(new_scheduler, recorder):
    """Runs and other listeners continue; the slow listener receives one event after another."""
    release, slow = asyncio.Event(), []

    async def wait(event):
        slow.append(str(event.kind))
        await release.wait()

    scheduler = new_scheduler()
    scheduler.add_listener(wait, RunEventKind)
    scheduler.add_listener(recorder)
    scheduler.start()
    for number in range(3):
        scheduler.add_task(one_time(f"t{number}"))
    await recorder.wait_for("succeeded", 3)
    assert slow == ["started"]
    release.set()
    await scheduler.stop()
    assert sorted(slow) == ["started"] * 3 + ["succeeded"] * 3


@pytest.mark.parametrize("error", [LookupError, asyncio.CancelledError])
async def test_a_listener_that_raises(new_scheduler, recorder, caplog, error):
    """It is logged, the next event is sent, and nobody else notices; also if what it awaits was cancelled."""

    async def fail(event):
        raise error(str(event.kind))

    scheduler = new_scheduler()
    scheduler.add_listener(fail, RunEventKind)
    scheduler.add_listener(recorder)
    scheduler.start()
    scheduler.add_task(one_time())
    await recorder.wait_for("succeeded")
    await scheduler.stop()
    failures = [record.getMessage() for record in caplog.records if "fail failed at" in record.getMessage()]
    assert [line.split(" failed at ")[1].split(" of ")[0] for line in failures] == ["started", "succeeded"]
    assert scheduler.list_runs()[0].status is RunStatus.SUCCEEDED


async def test_more_events_than_a_listener_takes(new_scheduler, recorder, caplog):
    """The oldest are dropped and counted, which is said once."""
    release = asyncio.Event()
    seen = []

    async def wait(event):
        seen.append(event)
        await release.wait()

    scheduler = new_scheduler(persistent=False, max_concurrent_runs=100)
    listener = scheduler.add_listener(wait, ["succeeded"])
    scheduler.add_listener(recorder, ["succeeded"])
    number = QUEUE_LIMIT + 20
    scheduler.add_task(hourly(overlap="allow_all"))
    for _ in range(number):
        scheduler.trigger_task("hourly")
    scheduler.start()
    await recorder.wait_for("succeeded", number)
    release.set()
    await scheduler.stop()
    assert len(seen) + listener.dropped == number
    assert listener.dropped > 0
    assert [event.run.id for event in seen[-5:]] == [event.run.id for event in recorder.events[-5:]]
    assert sum("is too slow" in record.getMessage() for record in caplog.records) == 1


async def test_a_listener_that_never_ends_does_not_hold_the_stop_up(new_scheduler, caplog, monkeypatch):
    """Events that it has not received in time are dropped, with a line in the log."""
    monkeypatch.setattr("scheduler.observing._DRAIN_SECONDS", 0.05)
    cut_off = []

    async def wait(_event):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut_off.append(True)
            raise

    scheduler = new_scheduler(on_event=wait)
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_for_runs(scheduler, 1)
    await scheduler.stop()
    assert cut_off == [True]
    assert "3 events are dropped" in caplog.text


async def test_a_listener_can_be_chosen_and_removed(new_scheduler, recorder):
    """It receives the kinds that it asked for, until it is removed."""
    scheduler = new_scheduler()
    listener = scheduler.add_listener(recorder, ["succeeded", RunEventKind.FAILED])
    everything = Listening()
    scheduler.add_listener(everything)
    scheduler.start()
    scheduler.add_task(one_time("first"))
    await recorder.wait_for("succeeded")
    assert recorder.kinds() == ["succeeded"]
    listener.remove()
    listener.remove()
    scheduler.add_task(one_time("second"))
    await everything.wait_for("succeeded", 2)
    assert recorder.kinds() == ["succeeded"]


async def test_a_listener_stays_for_the_next_start(new_scheduler, recorder):
    """`stop()` and `start()` do not forget it."""
    scheduler = new_scheduler(on_event=recorder)
    for number in (1, 2):
        scheduler.start()
        scheduler.add_task(one_time(f"t{number}"))
        await recorder.wait_for("succeeded", number)
        await scheduler.stop()
    assert recorder.kinds() == ["started", "succeeded"] * 2


def test_a_listener_stays_for_another_loop(db_path):
    """Also where the first loop ended while it had something to do."""
    scheduler = TaskScheduler(db_path=db_path, graph=EchoGraph(), shutdown_grace_seconds=0)
    seen = []
    hold = True

    async def listen(event):
        seen.append(str(event.kind))
        if hold:
            await asyncio.Event().wait()

    scheduler.add_listener(listen, RunEventKind)

    async def one_run(task_id):
        scheduler.start()
        scheduler.add_task(one_time(task_id))
        await wait_for_runs(scheduler, 1, task_id)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(one_run("first"))
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False
        task.get_coro().close()
    loop.close()
    hold = False

    async def second():
        await one_run("second")
        await scheduler.stop()

    asyncio.run(second())
    assert seen[0] == "started"
    assert seen[-2:] == ["started", "succeeded"]


async def test_a_listener_runs_in_the_context_in_which_it_was_added(new_scheduler):
    """Not in that of a run whose event comes first."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []
    done = asyncio.Event()

    async def look(event):
        seen.append(variable.get())
        if event.kind == "succeeded":
            done.set()

    class Setting(EchoGraph):
        async def ainvoke(self, given, config=None):
            variable.set("of the run")
            return await super().ainvoke(given, config)

    variable.set("of the program")
    scheduler = new_scheduler(Setting())
    scheduler.add_listener(look)
    variable.set("later")
    scheduler.start()
    scheduler.add_task(one_time())
    await asyncio.wait_for(done.wait(), PATIENCE)
    assert set(seen) == {"of the program"}


async def test_listeners_may_be_added_from_any_thread(new_scheduler):
    """While the scheduler runs."""
    recorder = Listening()
    scheduler = new_scheduler()
    scheduler.start()
    thread = threading.Thread(target=scheduler.add_listener, args=(recorder,))
    thread.start()
    await asyncio.to_thread(thread.join)
    scheduler.add_task(one_time())
    await recorder.wait_for("succeeded")


# --- What is refused ---


def synchronous(_event):
    """A listener that would block the loop."""


@pytest.mark.parametrize("callback", [synchronous, lambda event: None, "listen", functools.partial(synchronous, 1)])
def test_what_is_no_async_function(new_scheduler, db_path, callback):
    """It is refused before a store is created; the error names the argument and says how to fix it."""
    with pytest.raises(ValueError, match=r"on_event=.* is no async function; give one, such as `async def"):
        TaskScheduler(db_path=db_path, on_event=callback)
    assert not db_path.exists()


def test_what_is_an_async_function(db_path):
    """A function, a method, an object that is called as one, each with arguments filled in."""

    class Program:
        async def listen(self, more, event): ...

    scheduler = TaskScheduler(db_path=db_path)
    scheduler.add_listener(functools.partial(Program().listen, 1))
    scheduler.add_listener(functools.partial(Listening()))
    scheduler.stop()


@pytest.mark.parametrize(("events", "shown"), [(["failed", "odd"], "'odd'"), ("odd", "'odd'"), ([], "nothing")])
def test_events_that_there_are_not(db_path, recorder, events, shown):
    """The error names them, and those that there are."""
    scheduler = TaskScheduler(db_path=db_path)
    with pytest.raises(ValueError, match=f"events names {shown}; give some of started, step_finished, "):
        scheduler.add_listener(recorder, events)
    scheduler.stop()
