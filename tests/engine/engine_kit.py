"""An engine alone, without APScheduler: a real store, and time that the test moves."""

import asyncio
import selectors
from concurrent.futures import Executor, Future
from datetime import UTC, datetime

from scheduler import RunStatus, TaskDefinition
from scheduler.engine import Dependencies, Engine, LoopSettings, NoTicker, Standalone
from scheduler.observing import Observers
from scheduler.store import Outcome, RunFilter, SchedulerSession, Store, database_at
from scheduler.store.store_thread import StoreThread
from scheduler.timing.clock import SECOND, to_datetime, to_micros

START = to_micros(datetime(2026, 1, 5, tzinfo=UTC))
DAY = 86_400


class _Waitless(selectors.SelectSelector):
    """Moves the time of a loop in place of waiting."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def select(self, timeout=None):
        assert timeout is not None, "the loop waits for something that no timer brings"
        self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only where it would have waited."""

    def __init__(self):
        self._waitless = _Waitless()
        super().__init__(self._waitless)
        self._clock_resolution = 1e-6  # sums of floats need not be exact for a timer to be due

    def time(self):
        return self._waitless.now


class LoopClock:
    """A wall clock that goes with the time of a loop."""

    def __init__(self, loop):
        self._loop = loop

    def now(self):
        return START + round(self._loop.time() * SECOND)


class _Inline(Executor):
    """Stands for the store's thread: it calls in the thread of the test."""

    def submit(self, function, /, *arguments, **named):
        done = Future()
        try:
            done.set_result(function(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 (the future has it)
            done.set_exception(error)
        return done


class Runner:
    """Makes attempts that last as long as the test says, and notes when they began."""

    def __init__(self, clock, seconds=0.0):
        self.clock, self.seconds = clock, seconds
        self.began, self.inside, self.most = [], 0, 0
        self.failures = 0
        self.drained = False

    def load(self):
        self.drained = False

    def drain(self):
        self.drained = True

    async def run(self, claim):
        self.began.append((claim.task.id, (self.clock.now() - START) / SECOND))
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.inside -= 1
        if self.failures:
            self.failures -= 1
            raise ValueError("no such city")
        return Outcome(claim, RunStatus.SUCCEEDED, self.clock.now(), response="Done.")

    async def close(self):
        pass

    async def load_code(self, task):
        return None

    async def delete_thread(self, thread_id, path):
        pass


class Stage:
    """An engine, and what it was built from."""

    def __init__(self, loop, path, *, seconds=0.0, slots=32, grace=30.0, host=None, chance=lambda: 0.5):
        self.loop = loop
        self.clock = LoopClock(loop)
        self.runner = Runner(self.clock, seconds)
        observers = Observers(self.clock, 1.0, None)
        database = database_at(path, None)
        self.store = Store(database, "UTC", 1000)
        self.session = SchedulerSession(
            database,
            1000,
            30 * SECOND,
            90 * DAY * SECOND,
            needs_loading=lambda _task: None,
            is_checkpointed=lambda _task: False,
            is_observed=observers.is_listening,
            thread=StoreThread(_Inline),
            chance=chance,
        )
        settings = LoopSettings(slots, 10.0, 30.0, grace)
        self.host = Standalone(self.clock) if host is None else host
        parts = Dependencies(
            self.session, self.runner, self.clock, settings, observers, NoTicker(), self.host, self.no_sleep
        )
        self.engine = Engine(parts)

    @staticmethod
    def no_sleep(_seconds):
        raise AssertionError("the store works at once")

    def add(self, *tasks):
        self.store.add_tasks(tasks, self.clock.now())
        self.engine.wakeup()

    def states(self):
        return [run.status.value for run in self.store.list_runs(RunFilter(1000))]

    async def stop(self, *, wait=True):
        self.engine.stop(wait=wait)
        await asyncio.wrap_future(self.engine.stopped())


def every(seconds, task_id="t", **fields):
    fields = {"name": task_id, "prompt": "Go on.", **fields}
    return TaskDefinition(id=task_id, task_type="interval", interval_seconds=seconds, **fields)


def once(seconds, task_id="t", **fields):
    run_at = to_datetime(START + round(seconds * SECOND))
    fields = {"name": task_id, "prompt": "Go on.", **fields}
    return TaskDefinition(id=task_id, task_type="one_time", run_at=run_at, **fields)
