"""The heartbeat keeps the lease of a scheduler whose event loop is blocked, and gives it up when the loop hangs."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from helpers import PATIENCE, one_time, wait_until

from scheduler.engine.heartbeat import BEATS, Heartbeat, LoopSigns, LoopState, loop_state
from scheduler.engine.heartbeat import PATIENCE as LEASES
from scheduler.engine.ticker import NoTicker, ThreadTicker
from scheduler.errors import StoreError

LEASE = 30.0


@pytest.mark.parametrize(
    ("silence", "longest_run", "state"),
    [
        (0, 0, LoopState.RESPONDS),
        (LEASE, 0, LoopState.RESPONDS),
        (LEASE + 1, 0, LoopState.BLOCKED),
        (10 * LEASE, 0, LoopState.BLOCKED),
        (10 * LEASE + 1, 0, LoopState.HANGS),
        (10 * LEASE + 1, 60, LoopState.HANGS),
        (10 * LEASE + 1, 10 * LEASE + 1, LoopState.BLOCKED),
        (3600, 3600, LoopState.BLOCKED),
        (3601, 3600, LoopState.HANGS),
    ],
)
def test_loop_state(silence, longest_run, state):
    """A loop may be silent for the longer of ten leases and the longest run; beyond a lease it counts as blocked."""
    assert loop_state(silence, LEASE, longest_run) is state


# --- Beats ---


class Loop:
    """An event loop that takes a turn when the test says so."""

    def __init__(self):
        self.running, self.closed = True, False
        self._calls = []

    def is_running(self):
        return self.running

    def is_closed(self):
        return self.closed

    def call_soon_threadsafe(self, callback, *arguments):
        if self.closed:
            message = "Event loop is closed"
            raise RuntimeError(message)
        self._calls.append((callback, arguments))

    def turn(self):
        calls, self._calls = self._calls, []
        for callback, arguments in calls:
            callback(*arguments)

    @property
    def waiting(self):
        return len(self._calls)


class Stage:
    """A heartbeat, and the parts of a scheduler around it."""

    def __init__(self):
        self.loop = Loop()
        self.kept = self.lost = 0
        self.keep = lambda: True
        self.healthy = True
        self.longest_run = 0.0
        signs = LoopSigns(lambda: self.healthy, lambda: self.longest_run, self.on_lost)
        self.heartbeat = Heartbeat(self, "clock", LEASE, NoTicker(), signs)
        self.heartbeat.start(self.loop)

    def keep_lease(self, clock):
        assert clock == "clock"
        self.kept += 1
        return self.keep()

    def on_lost(self):
        self.lost += 1

    def beat_for(self, seconds, *, turning):
        """Make the beats of so many seconds; return how many of them kept the lease."""
        before = self.kept
        for _ in range(round(seconds * BEATS / LEASE)):
            assert self.heartbeat.beat()
            if turning:
                self.loop.turn()
        return self.kept - before


@pytest.fixture
def stage(caplog):
    caplog.set_level(logging.INFO, "scheduler")
    return Stage()


def beats_of(seconds):
    return round(seconds * BEATS / LEASE)


def test_a_loop_that_responds_keeps_its_lease_silently(stage, caplog):
    """For as long as it runs."""
    assert stage.beat_for(100 * LEASE, turning=True) == beats_of(100 * LEASE)
    assert caplog.messages == []


def test_a_blocked_loop_keeps_its_lease_for_ten_leases(stage, caplog):
    """A warning says so once, an error says once that it is over; then nothing renews the lease."""
    assert stage.beat_for(LEASES * LEASE, turning=False) == beats_of(LEASES * LEASE)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "has not responded for 35.0 s" in caplog.text
    assert "until it has not responded for 300 s" in caplog.text
    stage.beat_for(LEASE, turning=False)
    assert stage.beat_for(100 * LEASE, turning=False) == 0
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]


def test_a_blocked_loop_keeps_its_lease_as_long_as_its_longest_run_may_take(stage, caplog):
    """A run with a long `timeout_seconds` may block the loop for that long."""
    stage.longest_run = 50 * LEASE
    assert stage.beat_for(50 * LEASE, turning=False) == beats_of(50 * LEASE)
    assert "until it has not responded for 1500 s" in caplog.text
    stage.beat_for(LEASE, turning=False)
    assert stage.beat_for(LEASE, turning=False) == 0


def test_a_loop_that_responds_again_keeps_its_lease_again(stage, caplog):
    """And may be blocked again, for as long as before."""
    for _ in range(2):
        stage.beat_for(20 * LEASE, turning=False)
        stage.loop.turn()
        assert stage.beat_for(LEASE, turning=True) == BEATS
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"] * 2


def test_a_blocked_loop_is_asked_once(stage):
    """Questions do not pile up on it."""
    stage.beat_for(20 * LEASE, turning=False)
    assert stage.loop.waiting == 1


def test_passes_that_fail_for_too_long_give_the_lease_up(stage, caplog):
    """Their loop responds, and what they cannot write keeps no other process from the tasks; the passes log it."""
    stage.healthy = False
    assert stage.beat_for(LEASES * LEASE, turning=True) == beats_of(LEASES * LEASE)
    stage.beat_for(LEASE, turning=True)
    assert stage.beat_for(LEASE, turning=True) == 0
    stage.healthy = True
    stage.beat_for(LEASE, turning=True)
    assert stage.beat_for(LEASE, turning=True) == BEATS
    assert caplog.messages == []


def test_a_loop_that_was_stopped_does_not_keep_its_lease(stage):
    """Its runs do not run either. If it is started again, so are the renewals."""
    stage.loop.running = False
    assert stage.beat_for(LEASE, turning=False) == 0
    stage.loop.running = True
    assert stage.beat_for(LEASE, turning=True) == BEATS


def test_a_loop_that_was_closed_ends_the_beats(stage):
    """Nobody stops a scheduler whose loop is gone."""
    stage.loop.running, stage.loop.closed = False, True
    assert stage.heartbeat.beat() is False
    assert stage.kept == 0


def test_a_loop_that_closes_during_a_beat_does_no_harm(stage):
    """The next beat ends the beats."""

    def close():
        stage.loop.closed = True
        return True

    stage.keep = close
    assert stage.heartbeat.beat()
    assert stage.heartbeat.beat() is False


def test_a_lease_that_was_lost_calls_for_a_pass(stage):
    """The pass, not the beat, finds out what was taken over."""
    stage.keep = lambda: False
    stage.beat_for(LEASE, turning=True)
    assert stage.lost == BEATS


@pytest.mark.parametrize("error", [StoreError("here", "it is locked", "try again"), ZeroDivisionError()])
def test_an_error_does_not_end_the_beats(stage, caplog, error):
    """An outage is logged by the passes, any other error by the beat."""

    def fail():
        raise error

    stage.keep = fail
    assert stage.beat_for(LEASE, turning=True) == BEATS
    assert stage.lost == 0
    assert len(caplog.records) == (0 if isinstance(error, StoreError) else BEATS)


def test_a_stopped_heartbeat_can_start_again(stage):
    """With another loop, and no memory of the first one's silence."""
    stage.beat_for(20 * LEASE, turning=False)
    stage.heartbeat.stop()
    assert stage.heartbeat.beat() is False
    stage.loop = Loop()
    stage.heartbeat.start(stage.loop)
    assert stage.beat_for(LEASE, turning=False) == BEATS


class Recording(NoTicker):
    def start(self, interval, call):
        self.interval = interval


@pytest.mark.parametrize(("lease", "interval"), [(60, 10), (0.6, 0.1), (0.001, 0.01)])
def test_beats_come_six_times_per_lease(lease, interval):
    """But not so often that a thread does nothing else."""
    ticker = Recording()
    Heartbeat(None, None, lease, ticker, None).start(None)
    assert ticker.interval == pytest.approx(interval)


# --- The thread ---

SHORT = 0.001


class Called:
    """Something with a method that a ticker calls."""

    def __init__(self, times=None):
        self.times = times
        self.calls = []
        self.enough = threading.Event()

    def call(self):
        self.calls.append(threading.current_thread())
        if len(self.calls) >= 3:
            self.enough.set()
        return self.times is None or len(self.calls) < self.times


def test_a_ticker_calls_until_it_is_stopped():
    """In one daemon thread, which is gone when `stop` returns; then it can start again."""
    ticker, called = ThreadTicker("ticks"), Called()
    for _ in range(2):
        ticker.start(SHORT, called.call)
        assert called.enough.wait(PATIENCE)
        ticker.stop()
        ticker.stop()
        threads = set(called.calls)
        assert [(thread.name, thread.daemon, thread.is_alive()) for thread in threads] == [("ticks", True, False)]
        called.calls.clear()
        called.enough.clear()


def test_a_ticker_may_wait_for_any_time():
    """Leases may be as long as thirty years."""
    ticker, called = ThreadTicker("ticks"), Called()
    ticker.start(1e12, called.call)
    ticker.stop()
    assert called.calls == []


def test_a_ticker_stops_when_it_is_told():
    """By a call that returns False."""
    ticker, called = ThreadTicker("ticks"), Called(times=3)
    ticker.start(SHORT, called.call)
    assert called.enough.wait(PATIENCE)
    called.calls[0].join(PATIENCE)
    assert len(called.calls) == 3
    ticker.stop()


def test_a_ticker_waits_for_a_call_that_is_in_progress():
    """After `stop` nothing uses the store any more."""

    class Slow:
        def __init__(self):
            self.entered, self.go_on = threading.Event(), threading.Event()
            self.done = False

        def call(self):
            self.entered.set()
            self.go_on.wait(PATIENCE)
            self.done = True
            return True

    ticker, slow = ThreadTicker("ticks"), Slow()
    ticker.start(SHORT, slow.call)
    assert slow.entered.wait(PATIENCE)
    threading.Timer(0.02, slow.go_on.set).start()
    ticker.stop()
    assert slow.done


def test_a_ticker_does_not_keep_what_it_calls_alive():
    """A scheduler that is dropped takes its thread with it."""

    class Owner(Called):
        def __init__(self):
            super().__init__()
            self.ticker = ThreadTicker("ticks")
            self.ticker.start(SHORT, self.call)

    owner = Owner()
    assert owner.enough.wait(PATIENCE)
    thread, gone = owner.calls[0], weakref.ref(owner)
    del owner
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert gone() is None


def test_a_ticker_can_be_stopped_by_its_own_call():
    """As by a finalizer that happens to run in its thread."""

    class Stopping(Called):
        def call(self):
            ticker.stop()
            return super().call()

    ticker, called = ThreadTicker("ticks"), Stopping()
    ticker.start(SHORT, called.call)
    while not called.calls:
        called.enough.wait(SHORT)
    called.calls[0].join(PATIENCE)
    assert len(called.calls) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_ticker_in_a_forked_child_does_nothing():
    """The child has no such thread, and no call waits for it."""
    ticker, called = ThreadTicker("ticks"), Called()
    ticker.start(SHORT, called.call)
    assert called.enough.wait(PATIENCE)
    child = os.fork()
    if child == 0:
        ticker.stop()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    called.enough.clear()
    called.calls.clear()
    assert called.enough.wait(PATIENCE), "the parent's thread goes on"
    ticker.stop()


# --- Schedulers ---


def lease_threads():
    return [thread for thread in threading.enumerate() if thread.name == "scheduler-lease"]


async def test_a_scheduler_has_a_thread_from_start_to_stop(new_scheduler):
    """Each start has one, and none is left."""
    scheduler = new_scheduler()
    assert lease_threads() == []
    for _ in range(2):
        scheduler.start()
        assert len(lease_threads()) == 1
        async with asyncio.timeout(PATIENCE):
            await scheduler.stop()
        assert lease_threads() == []


async def test_a_scheduler_in_memory_has_no_thread(new_scheduler):
    """No other process can take its runs over."""
    scheduler = new_scheduler(persistent=False)
    scheduler.start()
    assert lease_threads() == []


async def test_a_scheduler_tells_its_heartbeat_of_its_runs_and_passes(new_scheduler, blocking):
    """The largest `timeout_seconds` of the runs that are running, and whether passes fail."""
    scheduler = new_scheduler(blocking)
    signs = scheduler.scheduler.engine._heartbeat._signs
    assert signs.longest_run() == 0
    scheduler.add_tasks([one_time("a", timeout_seconds=70), one_time("b", timeout_seconds=4000), one_time("c")])
    scheduler.start()
    await wait_until(lambda: blocking.inside == 3, scheduler)
    assert signs.longest_run() == 4000
    assert signs.is_healthy()
    scheduler._engine._parts.session.run_pass, run_pass = (lambda *_: 1 / 0), scheduler._engine._parts.session.run_pass
    signs.on_lost()
    await scheduler.scheduler.pass_done.wait()
    assert not signs.is_healthy()
    scheduler._engine._parts.session.run_pass = run_pass
    await scheduler.scheduler.pass_done.wait()
    assert signs.is_healthy()


def run(folder, source):
    program = folder / "program.py"
    program.write_text("import asyncio, time\nfrom scheduler import TaskScheduler\n" + textwrap.dedent(source))
    return subprocess.run(
        [sys.executable, program], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_program_that_exits_without_a_stop_ends_cleanly(tmp_path):
    """The thread is stopped before the interpreter is taken down, in the middle of its beats or not."""
    done = run(
        tmp_path,
        """
        class Graph:
            async def ainvoke(self, given, config=None):
                return {"messages": []}

        async def main():
            global scheduler
            scheduler = TaskScheduler(db_path="x.db", graph=Graph(), lease_seconds=0.01)
            scheduler.start()
            await scheduler.scheduler.pass_done.wait()
            time.sleep(0.2)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        print("over")
        """,
    )
    assert (done.returncode, done.stdout) == (0, "over\n"), done.stderr
    assert "Exception in thread" not in done.stderr
    assert "Fatal" not in done.stderr
