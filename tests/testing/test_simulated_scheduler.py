"""A scheduler in virtual time is the real one: what a test proves with it holds in production."""

import asyncio
import gc
import socket
import threading
import time
import unittest
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from scheduler import StoreError, TaskDefinition, TaskScheduler
from scheduler.testing import FakeGraph, RealWaitError, SimulatedScheduler

START_AT = "2026-03-27"


def every(seconds, **fields):
    fields = {"id": "t", "name": "T", "prompt": "Go.", **fields}
    return TaskDefinition(task_type="interval", interval_seconds=seconds, **fields)


def once(seconds, **fields):
    run_at = datetime(2026, 3, 27, tzinfo=UTC) + timedelta(seconds=seconds)
    fields = {"id": "t", "name": "T", "prompt": "Go.", **fields}
    return TaskDefinition(task_type="one_time", run_at=run_at, **fields)


def mondays(**fields):
    cron = {"task_type": "cron", "cron_expression": "0 9 * * 1", "timezone": "Europe/Berlin"}
    return TaskDefinition(id="mail", name="Mail", prompt="Mail the report.", **cron, **fields)


def simulated(graph=None, **options):
    return SimulatedScheduler(start=START_AT, graph=FakeGraph() if graph is None else graph, **options)


def statuses(runs):
    return [run.status.value for run in runs]


# --- Time ---


def test_a_year_of_mondays():
    """Each run starts at nine in Berlin, to the microsecond, also after the clocks have changed."""
    graph = FakeGraph(takes="90s")
    with simulated(graph) as s:
        s.add_task(mondays())
        assert s.advance_to("2026-03-30 08:59 Europe/Berlin") == []
        [first] = s.advance(minutes=5)
        assert first.started_at == datetime(2026, 3, 30, 7, tzinfo=UTC)
        assert first.finished_at - first.started_at == timedelta(seconds=90)
        rest = s.advance(days=365)
        assert {(run.started_at - run.scheduled_at) for run in rest} == {timedelta()}
        assert len(rest) == 52
        assert graph.prompts == ["Mail the report."] * 53


def test_what_is_due_at_the_last_instant_runs():
    """A graph that takes no time has ended then, and its outcome is stored."""
    with simulated() as s:
        s.add_task(once(60))
        assert s.advance(seconds=59.999999) == []
        assert statuses(s.advance(seconds=0.000001)) == ["succeeded"]
        assert s.now() == datetime(2026, 3, 27, 0, 1, tzinfo=UTC)


def test_each_run_is_returned_once():
    """By the call during which it ended, in the order in which they ended."""
    with simulated(FakeGraph(takes=["2m", "10s", "10s"]), max_concurrent_runs=2) as s:
        s.add_tasks([once(10, id="slow"), once(20, id="fast"), once(30, id="last")])
        assert [run.task_id for run in s.advance(minutes=1)] == ["fast", "last"]
        assert [run.task_id for run in s.advance(hours=1)] == ["slow"]
        assert s.advance(days=1) == []
        assert [run.task_id for run in s.runs()] == ["slow", "fast", "last"]


def test_run_due_takes_as_long_as_the_run():
    """Its further attempts too; time is moved by that much, and no further."""
    with simulated(FakeGraph(fails=2, takes="3m")) as s:
        s.add_task(once(60, max_attempts=3, retry_delay_seconds=60, session_id="own"))
        assert s.run_due() == []
        s.advance(minutes=1)
        [run] = s.run_due()
        assert (run.status, run.attempt, len(run.earlier_attempts)) == ("succeeded", 3, 2)
        assert s.now() == run.finished_at


def test_a_run_by_hand():
    """It is due at once."""
    with simulated(FakeGraph(str.upper)) as s:
        s.add_task(mondays())
        run_id = s.trigger_task("mail", prompt="now")
        [run] = s.run_due()
        assert (run.id, run.response) == (run_id, "NOW")


def test_time_goes_forward():
    """To an instant that has passed there is only `set_clock`."""
    with simulated() as s:
        with pytest.raises(ValueError, match="has passed"):
            s.advance_to("2026-03-26")
        with pytest.raises(ValueError, match="forward"):
            s.advance(seconds=-1)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-27", datetime(2026, 3, 26, 23, tzinfo=UTC)),
        ("2026-03-27 08:00", datetime(2026, 3, 27, 7, tzinfo=UTC)),
        ("2026-03-27T08:00", datetime(2026, 3, 27, 7, tzinfo=UTC)),
        ("2026-03-27T08:00Z", datetime(2026, 3, 27, 8, tzinfo=UTC)),
        ("2026-03-27 08:00 America/New_York", datetime(2026, 3, 27, 12, tzinfo=UTC)),
        ("2026-03-27 UTC", datetime(2026, 3, 27, tzinfo=UTC)),
        (datetime(2026, 3, 27, 8), datetime(2026, 3, 27, 7, tzinfo=UTC)),  # noqa: DTZ001 (in the scheduler's zone)
        (datetime(2026, 3, 27, 8, tzinfo=UTC), datetime(2026, 3, 27, 8, tzinfo=UTC)),
    ],
)
def test_how_an_instant_can_be_written(text, instant):
    """Without a zone it is in that of the scheduler."""
    scheduler = SimulatedScheduler(start=text, graph=FakeGraph(), timezone="Europe/Berlin")
    assert scheduler.now() == instant
    scheduler.close()


@pytest.mark.parametrize("text", ["", "soon", "2026-03-27 08:00 Berlin", "2026-03-27T08:00Z UTC", 7])
def test_a_wrong_instant_is_refused(text):
    """With what to write instead."""
    with pytest.raises(ValueError, match=r"give|leave|zone"):
        SimulatedScheduler(start=text, graph=FakeGraph())


def test_a_local_time_that_does_not_exist():
    """It is refused as everywhere else."""
    with pytest.raises(ValueError, match="does not exist"):
        SimulatedScheduler(start="2026-03-29 02:30 Europe/Berlin", graph=FakeGraph())


# --- The same as in production ---


def test_it_is_a_task_scheduler():
    """All calls are there; one that is refused says the same."""
    with simulated() as s:
        assert isinstance(s, TaskScheduler)
        s.add_task(every(3600))
        s.pause_task("t", until=s.now() + timedelta(hours=2))
        assert statuses(s.advance(hours=3)) == ["succeeded"] * 2
        with pytest.raises(ValueError, match="has passed"):
            s.add_task(once(60, id="late"))


def test_events_are_sent():
    """To listeners that are async functions, on the scheduler's loop."""
    seen = []

    async def note(event):
        seen.append(event.kind.value)

    with simulated(on_event=note) as s:
        s.add_task(once(60))
        s.advance(minutes=2)
    assert seen == ["started", "succeeded", "finished"]


def test_a_time_out():
    """The graph is cancelled after so much virtual time."""
    with simulated(FakeGraph(takes="2h")) as s:
        s.add_task(once(60, timeout_seconds=600))
        [run] = s.advance(hours=1)
        assert (run.status, run.finished_at - run.started_at) == ("timed_out", timedelta(minutes=10))


def test_a_stop_has_a_grace():
    """Running runs may end within it; after a restart the rest goes on."""
    with simulated(FakeGraph(takes="20s"), shutdown_grace_seconds=30) as s:
        s.add_task(every(60))
        s.advance(seconds=65)
        s.stop()
        assert statuses(s.runs()) == ["succeeded"]
        assert s.advance(minutes=10) != []
        s.restart()
        assert statuses(s.advance(minutes=2))[-1] == "succeeded"


def test_jobs_of_apscheduler_do_not_disturb():
    """They go by the real clock; tasks by the virtual one."""
    with simulated() as s:
        s.scheduler.add_job(print, "interval", hours=1)
        s.add_task(every(3600))
        assert len(s.advance(days=1)) == 24


# --- Graphs ---


def test_a_graph_that_asks():
    """The run waits for its answer, for as long as that takes."""
    graph = FakeGraph("Sent.", asks="Send it?")
    with simulated(graph) as s:
        s.add_task(once(60))
        assert s.advance(days=3) == []
        [run] = s.runs()
        assert (run.status, [question.value for question in run.questions]) == ("waiting", ["Send it?"])
        s.answer_run(run.id, "yes")
        [run] = s.run_due()
        assert (run.status, run.response, graph.replies) == ("succeeded", "Sent.", ["yes"])


def test_a_real_graph_with_a_synchronous_node():
    """Its thread is waited for in real time; no virtual time passes meanwhile."""

    def node(_state):
        time.sleep(0.01)
        return {"messages": [("ai", "from a thread")]}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
    with simulated(graph) as s:
        s.add_task(every(3600))
        runs = s.advance(hours=4)
        assert [run.response for run in runs] == ["from a thread"] * 4
        assert {run.finished_at - run.started_at for run in runs} == {timedelta()}


def build(task, run):
    return {"messages": [{"role": "user", "content": f"{task.prompt} {run.scheduled_at:%H:%M}"}]}


def test_an_input_builder():
    """It works in a thread of its own, which is waited for."""
    graph = FakeGraph()
    with simulated(graph, input_builder=build) as s:
        s.add_task(once(60))
        assert statuses(s.advance(minutes=1)) == ["succeeded"]
        assert graph.prompts == ["Go. 00:01"]


def test_a_thread_of_which_the_loop_knows_nothing():
    """As those of database drivers: it has a moment to bring something before virtual time moves."""

    class InThread:
        async def ainvoke(self, given, config=None):
            loop = asyncio.get_running_loop()
            came = loop.create_future()
            threading.Thread(target=lambda: loop.call_soon_threadsafe(came.set_result, "It came.")).start()
            return {"messages": [{"role": "ai", "content": await came}]}

    with simulated(InThread()) as s:
        s.add_task(once(60))
        [run] = s.advance(hours=1)
        assert (run.response, run.finished_at) == ("It came.", run.started_at)


def test_a_graph_that_waits_for_the_network():
    """The simulation ends with an error that says so."""

    class OnNetwork:
        async def ainvoke(self, given, config=None):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                ours.settimeout(0)
                await asyncio.get_running_loop().sock_recv(ours, 1)

    with simulated(OnNetwork()) as s:
        s.add_task(once(60))
        with pytest.raises(RealWaitError, match=r"network.*FakeGraph"):
            s.advance(hours=1)


def test_a_thread_that_does_not_return():
    """The same, after so many real seconds."""
    ended = threading.Event()

    class InThread:
        async def ainvoke(self, given, config=None):
            await asyncio.to_thread(ended.wait)

    with simulated(InThread(), real_wait_seconds=0.05) as s:
        s.add_task(once(60))
        with pytest.raises(RealWaitError, match="thread"):
            s.advance(hours=1)
        ended.set()


def test_a_run_cannot_move_time():
    """It would wait for itself."""
    errors = []

    class Moving:
        async def ainvoke(self, given, config=None):
            for call in (lambda: s.advance(days=1), s.crash):
                with pytest.raises(RuntimeError) as caught:
                    call()
                errors.append(str(caught.value))

    with simulated(Moving()) as s:
        s.add_task(once(60))
        s.advance(minutes=2)
    assert ["inside" in error or "its own" in error for error in errors] == [True, True]


# --- Faults ---


def test_a_crash():
    """The run is interrupted, as nobody knows how far it came; nothing of the dead process runs."""
    cleaned = []

    class Slow:
        async def ainvoke(self, given, config=None):
            try:
                await asyncio.sleep(180)
            finally:
                cleaned.append("up")

    with simulated(Slow()) as s:
        s.add_task(every(3600))
        s.advance(hours=1, minutes=1)
        s.crash()
        assert s.list_tasks() != []
        assert s.advance(minutes=30) == []
        assert cleaned == []
        s.restart()
        assert s.runs("t")[0].status == "interrupted"
        assert s.advance(hours=1)[-1].status == "succeeded"
        assert cleaned == ["up"]


def test_a_crash_of_a_run_that_may_be_repeated():
    """It runs again after the restart, and what was due meanwhile follows."""
    with simulated(FakeGraph(takes="3m")) as s:
        s.add_task(every(3600, rerun_after_crash=True, overlap="buffer_one"))
        s.advance(hours=1, minutes=1)
        s.crash()
        s.advance(hours=2)
        s.restart()
        runs = s.advance(minutes=30)
        assert [(run.status, run.attempt, run.coalesced) for run in runs] == [("succeeded", 2, 0), ("succeeded", 1, 1)]


def test_a_process_that_stands_still():
    """What came due meanwhile runs when it goes on."""
    with simulated() as s:
        s.add_task(every(3600))
        [run] = s.suspend(hours=5, minutes=30)
        assert (run.status, run.coalesced) == ("succeeded", 4)
        assert len(s.advance(hours=1)) == 1


def test_a_clock_that_is_set():
    """Forward it makes due what lies between; back it makes nothing run twice."""
    with simulated() as s:
        s.add_task(every(3600))
        s.set_clock("2026-03-27 02:30")
        [run] = s.run_due()
        assert run.coalesced == 1
        s.set_clock("2026-03-27 01:00")
        runs = s.advance(hours=3)
        assert len({run.scheduled_at for run in s.runs()}) == len(s.runs())
        assert runs


def test_a_locked_store():
    """Passes are tried again: what was due runs afterwards."""
    with simulated() as s:
        s.add_task(once(60))
        s.advance(seconds=50)
        s.lock_store(seconds=40)
        assert s.advance(seconds=35) == []
        [run] = s.advance(seconds=20)
        assert run.status == "succeeded"
        assert run.started_at >= datetime(2026, 3, 27, 0, 1, 30, tzinfo=UTC)


def test_a_call_waits_for_a_locked_store():
    """For up to 5 s, in virtual time; then nothing is stored."""
    with simulated() as s:
        s.lock_store(seconds=3)
        s.add_task(every(60))
        assert s.now() == datetime(2026, 3, 27, 0, 0, 3, tzinfo=UTC)
        s.lock_store(seconds=30)
        with pytest.raises(StoreError, match="locked"):
            s.remove_task("t")
        assert s.now() == datetime(2026, 3, 27, 0, 0, 8, tzinfo=UTC)
        s.advance(seconds=30)
        s.remove_task("t")


def test_the_waits_between_attempts_are_those_of_the_seed():
    """The same seed gives the same history."""

    def history(seed):
        with simulated(FakeGraph(fails=5), seed=seed) as s:
            s.add_task(once(60, max_attempts=6, retry_delay_seconds=60, session_id="own"))
            [run] = s.advance(days=1)
            return [attempt.started_at for attempt in run.earlier_attempts]

    assert history(1) == history(1) != history(2)


# --- Under any test framework ---


async def in_a_loop():
    """Use a simulation as an async test does."""
    with simulated(FakeGraph(takes="1m")) as s:
        s.add_task(every(3600))
        assert len(s.advance(days=1)) == 23
        s.crash()
        s.restart()
        assert [run.status for run in s.advance(hours=1)] == ["interrupted"]
        await s.stop()


@pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), anyio.run], ids=["asyncio", "anyio"])
def test_inside_a_running_loop(run):
    """It works in a thread of its own, while the loop of the test waits."""
    run(in_a_loop)


class TestInUnittest(unittest.TestCase):
    """It needs no pytest."""

    def test_a_day(self):
        """Of hourly runs."""
        with simulated() as s:
            s.add_task(every(3600))
            self.assertEqual(len(s.advance(days=1)), 24)  # noqa: PT009 (as users of unittest write it)


def test_two_at_once():
    """Each has its own time and its own store."""
    with simulated() as one, simulated() as other:
        one.add_task(every(3600))
        other.advance(days=1)
        assert len(one.advance(hours=2)) == 2
        assert other.runs() == []


def test_a_langgraph_that_is_killed_in_the_middle(recwarn):
    """It is ended without a word when the simulation is over, also if it takes its time; then the checkpoint counts."""
    began = []

    async def node(_state):
        began.append("node")
        try:
            await asyncio.sleep(180)
        except asyncio.CancelledError:
            await asyncio.sleep(5)
            raise

    async def first(_state):
        began.append("first")

    builder = StateGraph(MessagesState).add_node("first", first).add_node("node", node)
    graph = builder.add_edge(START, "first").add_edge("first", "node").compile(checkpointer=InMemorySaver())
    with simulated(graph) as s:
        s.add_task(once(60))
        s.advance(minutes=2)
        s.crash()
        s.restart()
        [run] = s.advance(minutes=5)
        assert (run.status, run.attempt, run.resumed) == ("succeeded", 2, True)
        s.trigger_task("t")
        s.advance(minutes=1)
    assert began == ["first", "node", "node", "first", "node"]
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_what_waited_for_a_slot_when_its_process_was_killed_never_runs():
    """Not even when the simulation is over."""
    graph = FakeGraph(takes=[*["2ms"] * 60, "3m"])
    with simulated(graph, max_concurrent_runs=2) as s:
        s.add_tasks([once(60, id=f"t{number}", session_mode="per_run") for number in range(150)])
        s.advance(minutes=2)
        s.crash()
        calls = graph.calls
    assert graph.calls == calls == 62
