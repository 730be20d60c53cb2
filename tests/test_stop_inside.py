"""`await scheduler.stop()` in code that the stop waits for: it does not wait for itself; elsewhere it does wait."""

import asyncio

import pytest
from helpers import PATIENCE, BlockingGraph, EchoGraph, one_time, statuses, steps, wait_for_runs
from langgraph.graph import START, MessagesState, StateGraph

from scheduler import RunStatus

LONG_GRACE = 3600
_STAGES = []


class Stage:
    """A scheduler with a long grace period, which some code of its user stops."""

    def __init__(self, scheduler):
        self.scheduler = scheduler
        self.stop_was_called = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def stop(self):
        stopping = self.scheduler.stop()
        self._loop.call_soon_threadsafe(self.stop_was_called.set)
        await stopping

    async def has_stopped(self):
        async with asyncio.timeout(PATIENCE):
            await self.stop_was_called.wait()
            await self.scheduler.stop()


@pytest.fixture
def start(new_scheduler):
    """Return what starts a scheduler whose tasks are due."""

    def begin(graph, *, number=1, task_fields=None, **options):
        stage = Stage(new_scheduler(graph, shutdown_grace_seconds=LONG_GRACE, **options))
        _STAGES[:] = [stage]
        stage.scheduler.add_tasks(one_time(f"t{each}", **(task_fields or {})) for each in range(number))
        stage.scheduler.start()
        return stage

    yield begin
    _STAGES.clear()


async def stop():
    await _STAGES[0].stop()


class StoppingGraph(EchoGraph):
    """Awaits a stop before it answers."""

    def __init__(self, stop):
        super().__init__()
        self._stop = stop

    async def ainvoke(self, given, config=None):
        await self._stop()
        return await super().ainvoke(given, config)


async def in_a_task():
    await asyncio.create_task(stop())


async def on_a_loop_of_another_thread():
    await asyncio.to_thread(asyncio.run, stop())


@pytest.mark.parametrize("how", [stop, in_a_task, on_a_loop_of_another_thread])
@pytest.mark.parametrize("number", [1, 3])
async def test_inside_runs(start, db_path, how, number):
    """Each run continues at once and succeeds, also if several of them await the stop."""
    everybody = asyncio.Event()

    async def once_all_have_begun():
        started.append(1)
        if len(started) == number:
            everybody.set()
        await everybody.wait()
        await how()

    started = []
    stage = start(StoppingGraph(once_all_have_begun), number=number)
    await stage.has_stopped()
    assert statuses(db_path) == {"succeeded": number}


def synchronous_node(state):
    """Stop the scheduler in a thread, where LangGraph calls a synchronous node."""
    asyncio.run(stop())
    return {"messages": [("ai", "stopped")]}


async def asynchronous_node(state):
    await stop()
    return {"messages": [("ai", "stopped")]}


@pytest.mark.parametrize("node", [synchronous_node, asynchronous_node])
async def test_inside_a_node(start, db_path, node):
    """LangGraph's nodes have tasks or threads of their own."""
    builder = StateGraph(MessagesState)
    builder.add_node("stop", node)
    builder.add_edge(START, "stop")
    stage = start(builder.compile())
    await stage.has_stopped()
    assert statuses(db_path) == {"succeeded": 1}


async def callback(_task, _result):
    await stop()


async def test_inside_a_result_callback(start, db_path, echo):
    """The run that it belongs to succeeds."""
    stage = start(echo, task_fields={"result_callback": f"{__name__}.callback"})
    await stage.has_stopped()
    [run] = stage.scheduler.list_runs()
    assert (run.status, run.error) == (RunStatus.SUCCEEDED, None)


async def test_inside_a_listener(start, echo, caplog):
    """It is called to its end, and receives what any other listener does."""
    kinds, others = [], []

    async def listener(event):
        await stop()
        kinds.append(event.kind)

    async def other(event):
        others.append(event.kind)

    stage = start(echo, on_event=listener)
    stage.scheduler.add_listener(other)
    await stage.has_stopped()
    assert kinds == others != []
    assert "dropped" not in caplog.text


async def test_inside_what_an_input_builder_starts(start, db_path):
    """A run may wait for a task that its input builder has started."""
    started, loop = [], asyncio.get_running_loop()

    def build(_task):
        started.append(asyncio.run_coroutine_threadsafe(stop(), loop))
        return {"messages": ["Go on."]}

    class Waiting(EchoGraph):
        async def ainvoke(self, given, config=None):
            await asyncio.wrap_future(started[0])
            return {"messages": []}

    stage = start(Waiting(), input_builder=build)
    await stage.has_stopped()
    assert statuses(db_path) == {"succeeded": 1}


async def test_a_task_that_outlives_its_run_waits(start):
    """The run that started it has ended: it can wait for the others."""
    left = []

    class Leaving(BlockingGraph):
        async def ainvoke(self, given, config=None):
            if not left:
                left.append(asyncio.create_task(self.stop_later()))
                return {"messages": []}
            return await super().ainvoke(given, config)

        async def stop_later(self):
            await self.entered.wait()
            await stop()

    graph = Leaving()
    stage = start(graph, number=2)
    async with asyncio.timeout(PATIENCE):
        await stage.stop_was_called.wait()
    await steps()
    assert not left[0].done()
    graph.release.set()
    async with asyncio.timeout(PATIENCE):
        await left[0]
    assert not stage.scheduler.scheduler.engine.is_stopping
    assert [run.status for run in stage.scheduler.list_runs()] == [RunStatus.SUCCEEDED] * 2


async def test_a_run_of_another_scheduler_waits(start, new_scheduler, tmp_path, blocking):
    """It is none of those that the stop waits for."""
    stage = start(blocking)
    async with asyncio.timeout(PATIENCE):
        await blocking.entered.wait()
    other = new_scheduler(StoppingGraph(stage.stop), db_path=tmp_path / "other.db")
    other.add_task(one_time())
    other.start()
    async with asyncio.timeout(PATIENCE):
        await stage.stop_was_called.wait()
    await steps()
    assert [run.status for run in other.list_runs()] == [RunStatus.RUNNING]
    blocking.release.set()
    [run] = await wait_for_runs(other, 1)
    assert run.status is RunStatus.SUCCEEDED
    assert not stage.scheduler.scheduler.engine.is_stopping
