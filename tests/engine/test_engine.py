"""The engine runs without APScheduler, and in virtual time: a day passes as fast as its passes can be made."""

import asyncio
import subprocess
import sys

import pytest
from engine_kit import DAY, LoopClock, Stage, VirtualLoop, every, once

from scheduler.engine import Standalone, State


@pytest.fixture
def loop():
    loop = VirtualLoop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def new_stage(loop, tmp_path):
    """Return what makes engines on one store."""

    def make(**options):
        return Stage(loop, tmp_path / "scheduler.db", **options)

    return make


def state_of(stage):
    return stage.engine._lifecycle.state


def test_it_does_not_import_apscheduler():
    """Neither the package nor what it imports does."""
    source = "import sys, scheduler.engine; assert not [name for name in sys.modules if name.startswith('apscheduler')]"
    subprocess.run([sys.executable, "-c", source], check=True)


def test_a_day_of_hourly_runs(new_stage, loop):
    """Each run starts exactly at its due time, and none is left out."""
    stage = new_stage()

    async def main():
        stage.engine.start()
        stage.add(every(3600))
        await asyncio.sleep(DAY + 1)
        await stage.stop()

    loop.run_until_complete(main())
    assert stage.runner.began == [("t", 3600.0 * hour) for hour in range(1, 25)]
    assert stage.states() == ["succeeded"] * 24


def test_what_is_due_beyond_the_slots_waits(new_stage, loop):
    """Of five tasks that are due at once, two run at a time; the others follow as slots become free."""
    stage = new_stage(seconds=60, slots=2)

    async def main():
        stage.engine.start()
        stage.add(*(once(5, f"t{number}") for number in range(5)))
        await asyncio.sleep(300)
        await stage.stop()

    loop.run_until_complete(main())
    assert stage.runner.most == 2
    assert stage.states() == ["succeeded"] * 5
    assert [round(began) for _, began in stage.runner.began] == [5, 5, 65, 65, 125]


def test_runs_that_end_within_the_grace(new_stage, loop):
    """A stop claims nothing more, and lets running runs end; then the engine can start again."""
    stage = new_stage(seconds=20, grace=30)

    async def main():
        assert state_of(stage) is State.STOPPED
        stage.engine.start()
        assert state_of(stage) is State.RUNNING
        stage.add(once(5), once(15, "later"))
        await asyncio.sleep(10)
        stage.engine.stop()
        assert state_of(stage) is State.DRAINING
        assert stage.runner.drained
        await asyncio.wrap_future(stage.engine.stopped())
        assert state_of(stage) is State.STOPPED
        assert stage.states() == ["succeeded"]
        stage.engine.start()
        await asyncio.sleep(60)
        await stage.stop()

    loop.run_until_complete(main())
    assert stage.states() == ["succeeded"] * 2


def test_runs_that_outlast_the_grace(new_stage, loop):
    """They are cancelled when the grace is over, and recorded as interrupted."""
    stage = new_stage(seconds=3600, grace=30)

    async def main():
        stage.engine.start()
        stage.add(once(5))
        await asyncio.sleep(10)
        await stage.stop()
        return loop.time()

    assert loop.run_until_complete(main()) == pytest.approx(40, abs=1)
    assert stage.states() == ["interrupted"]


def test_a_loop_that_ends(new_stage, loop):
    """The end of the loop cancels the engine's task: runs have no grace, and their ends are written."""
    stage = new_stage(seconds=3600)
    seen = []

    async def main():
        stage.engine.start()
        stage.add(once(5))
        await asyncio.sleep(10)
        engine = next(task for task in asyncio.all_tasks() if task.get_name() == "task scheduler")
        engine.cancel()
        await asyncio.sleep(0)
        seen.append(state_of(stage))
        with pytest.raises(asyncio.CancelledError):
            await engine

    loop.run_until_complete(main())
    assert seen == [State.CANCELLED]
    assert state_of(stage) is State.STOPPED
    assert stage.states() == ["interrupted"]


def test_a_store_that_fails(new_stage, loop):
    """Passes are tried again; the outcomes that could not be written are written then."""
    stage = new_stage(seconds=1)
    run_pass, failing = stage.session.run_pass, []

    def fail_sometimes(*arguments):
        if failing:
            raise ZeroDivisionError
        return run_pass(*arguments)

    stage.session.run_pass = fail_sometimes

    async def main():
        stage.engine.start()
        stage.add(once(5))
        await asyncio.sleep(5.5)
        failing.append(True)
        await asyncio.sleep(20)
        assert stage.states() == ["running"]
        failing.clear()
        await asyncio.sleep(20)
        await stage.stop()

    loop.run_until_complete(main())
    assert stage.states() == ["succeeded"]


class Paused(Standalone):
    """A host whose user has paused it."""

    paused = True

    def is_paused(self):
        return self.paused


def test_a_host_that_is_paused(new_stage, loop):
    """Nothing is claimed until it goes on; then what came due meanwhile runs."""
    host = Paused(LoopClock(loop))
    stage = new_stage(host=host)

    async def main():
        stage.engine.start()
        stage.add(once(5))
        await asyncio.sleep(60)
        assert stage.states() == []
        host.paused = False
        stage.engine.wakeup()
        await asyncio.sleep(1)
        await stage.stop()

    loop.run_until_complete(main())
    assert stage.states() == ["succeeded"]


class Refusing(Standalone):
    """A host that submits nothing."""

    refuses = True

    def launch(self, claims, wake_at, submit, /):
        return super().launch([] if self.refuses else claims, wake_at, submit)


def test_claims_that_the_host_does_not_submit(new_stage, loop):
    """They go back into the queue, and run once the host takes them."""
    host = Refusing(LoopClock(loop))
    stage = new_stage(host=host)

    async def main():
        stage.engine.start()
        stage.add(once(0.5))
        for _ in range(20):
            await stage.engine.pass_done.wait()
        assert stage.runner.began == []
        host.refuses = False
        await asyncio.sleep(60)
        await stage.stop()

    loop.run_until_complete(main())
    assert stage.states() == ["succeeded"]


def test_a_host_that_cannot_start(new_stage, loop):
    """The engine stops again, and releases its lease."""
    stage = new_stage()

    async def main():
        with pytest.raises(ZeroDivisionError):
            stage.engine.start(lambda: 1 // 0)
        assert state_of(stage) is State.STOPPED
        assert stage.engine.stopped().done()
        assert stage.store.running_schedulers(stage.clock.now()) == 0

    loop.run_until_complete(main())


@pytest.mark.parametrize(("share", "waited"), [(0.0, 75), (0.5, 100), (1.0, 125)])
def test_chance_is_an_argument(new_stage, loop, share, waited):
    """The wait before the next attempt varies by the random number that the engine is given."""
    stage = new_stage(chance=lambda: share)
    stage.runner.failures = 1

    async def main():
        stage.engine.start()
        stage.add(once(5, max_attempts=2, retry_delay_seconds=100))
        await asyncio.sleep(300)
        await stage.stop()

    loop.run_until_complete(main())
    first, second = (began for _, began in stage.runner.began)
    assert second - first == pytest.approx(waited, abs=0.5)
    assert stage.states() == ["succeeded"]
