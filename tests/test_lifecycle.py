"""Starting and stopping, in every order and from everywhere: nothing hangs, nothing is left open or lost."""

import asyncio
import gc
import threading
import warnings

import pytest
from apscheduler.events import EVENT_JOB_EXECUTED
from helpers import (
    PATIENCE,
    BlockingGraph,
    EchoGraph,
    hourly,
    one_time,
    rows,
    run_program,
    start_with_claims_ahead,
    statuses,
    steps,
    wait_for_runs,
    wait_until,
)
from langgraph.graph import START, MessagesState, StateGraph

from scheduler import RunStatus, SchedulerError, StoreError, TaskNotFoundError, TaskScheduler


async def began(graph, number=1):
    """Wait until so many runs are in a blocking graph."""
    async with asyncio.timeout(PATIENCE):
        while len(graph.calls) < number:
            graph.entered.clear()
            await graph.entered.wait()


async def stopped(scheduler):
    async with asyncio.timeout(PATIENCE):
        await scheduler.stop()


# --- Starting ---


def test_start_without_a_loop(tmp_path, echo):
    """Without a running loop `start()` says what is missing, is a `RuntimeError` too, and leaves all as it was."""
    scheduler = TaskScheduler(db_path=tmp_path / "x.db", graph=echo)
    with pytest.raises(RuntimeError, match="running asyncio loop") as caught:
        scheduler.start()
    assert isinstance(caught.value, SchedulerError)
    assert not scheduler.scheduler.running
    scheduler.add_task(hourly())
    scheduler.stop()


async def test_start_twice(new_scheduler, echo):
    """A second `start()` changes nothing: there is one set of passes, and a task runs once."""
    scheduler = new_scheduler(echo)
    scheduler.start()
    scheduler.start()
    scheduler.trigger_task(scheduler.add_task(hourly()) or "hourly")
    await wait_for_runs(scheduler, 1)
    assert len(echo.calls) == 1
    assert [task.get_name() for task in asyncio.all_tasks()].count("task scheduler") == 1


async def test_start_after_stop(new_scheduler, echo):
    """A scheduler that was stopped starts again, on the same store, as often as one likes."""
    scheduler = new_scheduler(echo)
    scheduler.add_task(hourly())
    for number in (1, 2, 3):
        scheduler.start()
        scheduler.trigger_task("hourly")
        await wait_for_runs(scheduler, number)
        await stopped(scheduler)
        assert not scheduler.scheduler.running
    assert len(echo.calls) == 3


async def test_start_while_stopping(new_scheduler, blocking):
    """While a stop drains, `start()` says so; when it is done, `start()` works."""
    scheduler = new_scheduler(blocking, shutdown_grace_seconds=PATIENCE)
    scheduler.add_task(one_time())
    scheduler.start()
    await began(blocking)
    stopping = scheduler.stop()
    with pytest.raises(RuntimeError, match="still stopping"):
        scheduler.start()
    blocking.release.set()
    await stopping
    scheduler.start()
    assert scheduler.scheduler.running


async def test_start_fails_and_can_be_tried_again(new_scheduler, db_path):
    """A `start()` that cannot open its store leaves nothing half started."""
    scheduler = new_scheduler()
    db_path.rename(db_path.with_suffix(".away"))
    with pytest.raises(StoreError, match="deleted"):
        scheduler.start()
    assert not scheduler.scheduler.running
    await stopped(scheduler)
    db_path.with_suffix(".away").rename(db_path)
    scheduler.start()
    assert scheduler.scheduler.running


async def test_start_with_a_graph_that_cannot_be_imported(new_scheduler):
    """A graph that is not there is said at `start()`, and `stop()` after that is done at once."""
    scheduler = new_scheduler("no_such_module:graph")
    with pytest.raises(SchedulerError, match="no_such_module"):
        scheduler.start()
    assert not scheduler.scheduler.running
    await stopped(scheduler)


async def test_context_manager(new_scheduler, blocking):
    """`async with` starts, and waits for the drain at its end, also when its body raises."""
    scheduler = new_scheduler(blocking, shutdown_grace_seconds=PATIENCE)
    scheduler.add_task(one_time())

    async def use():
        async with scheduler as entered:
            assert entered is scheduler
            await began(blocking)
            blocking.release.set()
            raise LookupError

    with pytest.raises(LookupError):
        await use()
    assert not scheduler.scheduler.running
    assert [run.status for run in scheduler.list_runs()] == [RunStatus.SUCCEEDED]


# --- Stopping ---


async def test_stop_before_start_and_twice(new_scheduler):
    """`stop()` before `start()`, and a second one during or after the drain, do no harm and are awaitable."""
    scheduler = new_scheduler()
    await stopped(scheduler)
    await stopped(scheduler)
    scheduler.start()
    first, second = scheduler.stop(), scheduler.stop()
    await second
    await first
    await first
    await stopped(scheduler)


async def test_stop_right_after_start(new_scheduler, db_path):
    """`stop()` before the first pass has run ends all the same, and fires nothing."""
    scheduler = new_scheduler()
    scheduler.add_task(hourly())
    scheduler.trigger_task("hourly")
    scheduler.start()
    await stopped(scheduler)
    assert statuses(db_path) == {"pending": 1}


async def test_firing_ends_when_stop_is_called(new_scheduler, blocking, db_path):
    """What comes due after `stop()` was called stays due, although a run still drains."""
    scheduler = new_scheduler(blocking, shutdown_grace_seconds=PATIENCE)
    scheduler.add_task(one_time())
    scheduler.start()
    await began(blocking)
    stopping = scheduler.stop()
    scheduler.add_task(hourly())
    scheduler.trigger_task("hourly")
    await steps()
    blocking.release.set()
    await stopping
    assert len(blocking.calls) == 1
    assert statuses(db_path) == {"succeeded": 1, "pending": 1}


async def test_grace_lets_runs_end(new_scheduler, blocking, db_path):
    """Runs that end within the grace succeed, and the stop is done as soon as the last one has ended."""
    scheduler = new_scheduler(blocking, shutdown_grace_seconds=3600)
    scheduler.add_tasks(one_time(f"t{number}") for number in range(3))
    scheduler.start()
    await began(blocking, 3)
    stopping = scheduler.stop()
    await steps()
    assert blocking.inside == 3
    blocking.release.set()
    async with asyncio.timeout(PATIENCE):
        await stopping
    assert statuses(db_path) == {"succeeded": 3}


async def test_grace_ends(new_scheduler, blocking, db_path):
    """Runs that outlast the grace are cancelled and recorded as interrupted, with the reason."""
    scheduler = new_scheduler(blocking, shutdown_grace_seconds=0.05)
    scheduler.add_task(one_time())
    scheduler.start()
    await began(blocking)
    await stopped(scheduler)
    assert blocking.cancelled == 1
    with rows(db_path) as connection:
        row = connection.execute("SELECT status, error, finished_at, owner FROM scheduler_runs").fetchone()
    assert (row["status"], row["error"], row["owner"]) == ("interrupted", "the scheduler was stopped", None)
    assert row["finished_at"] is not None


async def test_graph_that_ends_well_although_cancelled(new_scheduler, db_path):
    """A graph that catches its cancellation and returns has succeeded."""

    class Stubborn(BlockingGraph):
        async def ainvoke(self, given, config=None):
            try:
                return await super().ainvoke(given, config)
            except asyncio.CancelledError:
                return {"messages": [{"content": "saved"}]}

    graph = Stubborn()
    scheduler = new_scheduler(graph)
    scheduler.add_task(one_time())
    scheduler.start()
    await began(graph)
    await stopped(scheduler)
    assert statuses(db_path) == {"succeeded": 1}


class Deaf(BlockingGraph):
    """Ignores that it is cancelled."""

    async def ainvoke(self, given, config=None):
        self.calls.append((given, config))
        self.entered.set()
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        return {"messages": []}


async def test_run_that_ignores_its_cancellation(new_scheduler, db_path, monkeypatch, caplog):
    """A run that does not end is given up: recorded as interrupted, said in the log, and the stop is done."""
    monkeypatch.setattr("scheduler.engine.drain.CANCEL_PATIENCE", 0.01)
    graph = Deaf()
    scheduler = new_scheduler(graph)
    scheduler.add_task(one_time())
    scheduler.start()
    await began(graph)
    await stopped(scheduler)
    assert statuses(db_path) == {"interrupted": 1}
    assert "does not end although it was cancelled" in caplog.text
    # It ends later, after a further start: its row is not written a second time.
    scheduler.start()
    graph.release.set()
    await steps()
    scheduler.trigger_task("once")
    await wait_for_runs(scheduler, 2)
    assert sorted(run.status for run in scheduler.list_runs()) == ["interrupted", "succeeded"]


async def test_cancelled_wait_for_the_drain(new_scheduler, blocking, db_path):
    """Cancelling the wait for a stop does not cancel the drain."""
    scheduler = new_scheduler(blocking, shutdown_grace_seconds=PATIENCE)
    scheduler.add_task(one_time())
    scheduler.start()
    await began(blocking)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await scheduler.stop()
    assert blocking.inside == 1
    blocking.release.set()
    await stopped(scheduler)
    assert statuses(db_path) == {"succeeded": 1}


async def test_supervisor_cancelled_while_cancelled_runs_are_waited_for(new_scheduler, db_path):
    """A loop that ends in the midst of the last wait for runs still has their ends written."""

    class Slow(BlockingGraph):
        async def ainvoke(self, given, config=None):
            try:
                return await super().ainvoke(given, config)
            except asyncio.CancelledError:
                self.saving.set()
                await self.saved.wait()
                raise

    graph = Slow()
    graph.saving, graph.saved = asyncio.Event(), asyncio.Event()
    scheduler = new_scheduler(graph)
    scheduler.add_task(one_time())
    scheduler.start()
    await began(graph)
    stopping = scheduler.stop()
    async with asyncio.timeout(PATIENCE):
        await graph.saving.wait()
    next(task for task in asyncio.all_tasks() if task.get_name() == "task scheduler").cancel()
    await steps()
    graph.saved.set()
    async with asyncio.timeout(PATIENCE):
        await stopping
    assert statuses(db_path) == {"interrupted": 1}


async def test_stop_from_another_thread(new_scheduler, blocking, db_path):
    """`stop()` works from any thread, and may be awaited on the loop."""
    scheduler = new_scheduler(blocking)
    scheduler.add_task(one_time())
    scheduler.start()
    await began(blocking)
    async with asyncio.timeout(PATIENCE):
        await (await asyncio.to_thread(scheduler.stop))
    assert statuses(db_path) == {"interrupted": 1}


async def test_stop_awaited_on_a_loop_of_another_thread(new_scheduler):
    """What `stop()` returns may be awaited on another loop than the scheduler's."""
    scheduler = new_scheduler()
    scheduler.start()

    async def stop():
        async with asyncio.timeout(PATIENCE):
            await scheduler.stop()

    await asyncio.to_thread(asyncio.run, stop())
    assert not scheduler.scheduler.running


async def test_stop_while_a_claim_is_in_flight(new_scheduler, echo, db_path):
    """A claim that the store's thread commits while `stop()` is called goes back into the queue, unlaunched."""
    scheduler = new_scheduler(echo)
    scheduler.add_task(hourly())
    scheduler.trigger_task("hourly")
    claimed, go_on = threading.Event(), threading.Event()
    run_pass = scheduler._engine._parts.session.run_pass

    def held(*arguments):
        result = run_pass(*arguments)
        claimed.set()
        assert go_on.wait(PATIENCE)
        return result

    scheduler._engine._parts.session.run_pass = held
    scheduler.start()
    await asyncio.to_thread(claimed.wait, PATIENCE)
    stopping = scheduler.stop()
    assert statuses(db_path) == {"running": 1}
    go_on.set()
    async with asyncio.timeout(PATIENCE):
        await stopping
    assert echo.calls == []
    assert statuses(db_path) == {"pending": 1}
    scheduler._engine._parts.session.run_pass = run_pass
    scheduler.start()
    assert [run.attempt for run in await wait_for_runs(scheduler, 1)] == [1]


async def test_stop_awaited_inside_a_run(new_scheduler, db_path):
    """A graph that stops the scheduler it runs on, without waiting for it, ends by itself within the grace."""

    class Last(EchoGraph):
        async def ainvoke(self, given, config=None):
            self.stopping = self.scheduler.stop()
            called.set()
            return await super().ainvoke(given, config)

    graph, called = Last(), asyncio.Event()
    graph.scheduler = scheduler = new_scheduler(graph, shutdown_grace_seconds=PATIENCE)
    scheduler.add_task(one_time())
    scheduler.start()
    async with asyncio.timeout(PATIENCE):
        await called.wait()
    await stopped(scheduler)
    assert statuses(db_path) == {"succeeded": 1}


async def test_store_is_closed_by_stop(new_scheduler, db_path):
    """After `stop()` the file has no write-ahead log beside it any more: each connection is closed."""
    scheduler = new_scheduler()
    scheduler.add_task(hourly())
    scheduler.list_tasks()
    scheduler.start()
    await scheduler.scheduler.pass_done.wait()
    await stopped(scheduler)
    assert sorted(path.name for path in db_path.parent.iterdir()) == ["scheduler.db"]


@pytest.mark.parametrize("langgraph", [False, True])
async def test_end_of_the_loop_lets_a_graph_clear_up(new_scheduler, db_path, langgraph):
    """Where everything on the loop is cancelled, each run is cancelled once: what it saves then is not cut short."""
    saved, entered = [], asyncio.Event()

    async def wait_and_save(*_arguments):
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await steps()
            saved.append(1)
            raise

    graph = EchoGraph()
    graph.ainvoke = wait_and_save
    if langgraph:
        builder = StateGraph(MessagesState)
        builder.add_node("wait", wait_and_save)
        builder.add_edge(START, "wait")
        graph = builder.compile()
    scheduler = new_scheduler(graph, shutdown_grace_seconds=3600)
    scheduler.add_task(one_time())
    scheduler.start()
    async with asyncio.timeout(PATIENCE):
        await entered.wait()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await stopped(scheduler)
    assert saved == [1]
    assert statuses(db_path) == {"interrupted": 1}
    scheduler.start()
    assert scheduler.scheduler.running


async def test_runs_claimed_ahead(new_scheduler, blocking, db_path, monkeypatch):
    """Runs that were claimed ahead of a free slot go back into the queue at `stop()`: their graph was not called."""
    scheduler = new_scheduler(blocking, max_concurrent_runs=1)
    start_with_claims_ahead(scheduler, 5, monkeypatch)
    await began(blocking)
    await stopped(scheduler)
    assert len(blocking.calls) == 1
    assert statuses(db_path) == {"interrupted": 1, "pending": 4}
    blocking.release.set()
    scheduler.start()
    await wait_until(lambda: len(scheduler.list_runs(status="succeeded")) == 4, scheduler)
    assert blocking.most == 1


async def test_stop_in_a_listener(new_scheduler, echo):
    """A listener may stop the scheduler, here when the first run has ended."""
    scheduler = new_scheduler(echo)
    ended = asyncio.Event()

    def stop(_event):
        scheduler.stop()
        ended.set()

    scheduler.scheduler.add_listener(stop, EVENT_JOB_EXECUTED)
    scheduler.add_task(one_time())
    scheduler.start()
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
        await scheduler.stop()
    assert [run.status for run in scheduler.list_runs()] == [RunStatus.SUCCEEDED]


# --- The face outside the scheduler's life ---


def test_face_before_start_from_many_threads(tmp_path, echo):
    """The face works before `start()`, without a loop, from several threads at once; nothing is lost."""
    scheduler = TaskScheduler(db_path=tmp_path / "x.db", graph=echo)

    def work(thread):
        for number in range(10):
            scheduler.add_task(hourly(f"{thread}-{number}"))
            scheduler.pause_task(f"{thread}-{number}")
            scheduler.list_tasks()
            scheduler.resume_task(f"{thread}-{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(scheduler.list_tasks()) == 40
    assert all(task["next_run"] != "paused" for task in scheduler.list_tasks())
    scheduler.stop()


async def test_face_from_other_threads_while_running(new_scheduler, echo):
    """Tasks that another thread adds and triggers while the scheduler runs are fired without delay."""
    scheduler = new_scheduler(echo, poll_interval=3600)
    scheduler.start()
    await scheduler.scheduler.pass_done.wait()

    def work():
        scheduler.add_tasks([hourly(), one_time()])
        return scheduler.trigger_task("hourly")

    run_id = await asyncio.to_thread(work)
    runs = await wait_for_runs(scheduler, 2)
    assert {run.task_id for run in runs} == {"hourly", "once"}
    assert run_id in {run.id for run in runs}


async def test_face_after_stop(new_scheduler):
    """Each call of the face works after `stop()`: it opens the store again, and a further `stop()` closes it."""
    scheduler = new_scheduler()
    scheduler.start()
    await stopped(scheduler)
    scheduler.add_task(hourly())
    scheduler.pause_task("hourly")
    assert scheduler.list_tasks()[0]["next_run"] == "paused"
    scheduler.resume_task("hourly")
    run_id = scheduler.trigger_task("hourly")
    assert scheduler.list_runs()[0].id == run_id
    assert scheduler.get_task("hourly").id == "hourly"
    scheduler.remove_task("hourly")
    with pytest.raises(TaskNotFoundError):
        scheduler.get_task("hourly")


async def test_in_memory(new_scheduler, echo, tmp_path, monkeypatch):
    """`persistent=False` fires as ever, leaves no file, and begins empty after a stop."""
    monkeypatch.chdir(tmp_path)
    scheduler = new_scheduler(echo, persistent=False)
    scheduler.add_tasks([hourly(), one_time()])
    scheduler.start()
    scheduler.trigger_task("hourly")
    await wait_for_runs(scheduler, 2)
    await stopped(scheduler)
    assert list(tmp_path.iterdir()) == []
    assert scheduler.list_tasks() == []
    scheduler.start()
    scheduler.add_task(one_time())
    await wait_for_runs(scheduler, 1)


def test_collected_without_stop(tmp_path, echo):
    """A scheduler that is dropped without a stop leaves no open connection behind, and says nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for persistent in (True, False):
            scheduler = TaskScheduler(persistent, tmp_path / "x.db", graph=echo)
            scheduler.add_task(hourly())
            scheduler.list_tasks()
            del scheduler
            gc.collect()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.db"]


# --- Loops that end under it ---


def _loop_that_is_closed(main):
    """Run a coroutine on a loop and close it with its tasks in it, which asyncio.run would not do."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        # What asyncio says about tasks that a closed loop has left is not ours to prevent.
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False
        loop.close()


async def _begin(scheduler, graph):
    scheduler.add_task(one_time())
    scheduler.start()
    await began(graph)


def test_loop_closed_under_a_running_scheduler(tmp_path):
    """When its loop was closed with it, `stop()` on another loop is done at once; runs are interrupted."""
    graph = BlockingGraph()
    scheduler = TaskScheduler(db_path=tmp_path / "x.db", graph=graph)
    _loop_that_is_closed(lambda: _begin(scheduler, graph))
    assert scheduler.scheduler.running
    asyncio.run(stopped(scheduler))
    assert not scheduler.scheduler.running
    assert statuses(tmp_path / "x.db") == {"interrupted": 1}


def test_loop_closed_then_start_on_another(tmp_path):
    """When its loop was closed with it, `start()` on another loop interrupts its runs, and starts due times again."""
    graph = BlockingGraph()
    scheduler = TaskScheduler(db_path=tmp_path / "x.db", graph=graph)
    _loop_that_is_closed(lambda: _begin(scheduler, graph))

    async def again():
        graph.release = asyncio.Event()
        graph.release.set()
        scheduler.start()
        scheduler.add_task(one_time("other"))
        await wait_for_runs(scheduler, 1, "other")
        await stopped(scheduler)

    asyncio.run(again())
    assert statuses(tmp_path / "x.db") == {"interrupted": 1, "succeeded": 1}


def test_loop_closed_under_a_function_of_the_user(tmp_path, echo):
    """When its loop was closed with it and with a job of the user's own, `stop()` is done all the same."""
    scheduler = TaskScheduler(db_path=tmp_path / "x.db", graph=echo)

    async def main():
        entered = asyncio.Event()

        async def own():
            entered.set()
            await asyncio.Event().wait()

        scheduler.start()
        scheduler.scheduler.add_job(own, misfire_grace_time=None)
        async with asyncio.timeout(PATIENCE):
            await entered.wait()

    _loop_that_is_closed(main)
    asyncio.run(stopped(scheduler))
    assert not scheduler.scheduler.running
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.db"]


@pytest.mark.parametrize("act", ["stop", "start"])
def test_loop_closed_while_stopping(tmp_path, act):
    """When its loop was closed while it drained, a further `stop()` or `start()` ends the drain."""
    graph = BlockingGraph()
    scheduler = TaskScheduler(db_path=tmp_path / "x.db", graph=graph)

    async def main():
        await _begin(scheduler, graph)
        scheduler.stop()

    async def again():
        if act == "start":
            scheduler.start()
            await scheduler.scheduler.pass_done.wait()
        await stopped(scheduler)

    _loop_that_is_closed(main)
    asyncio.run(again())
    assert statuses(tmp_path / "x.db") == {"interrupted": 1}


def test_loop_closed_and_the_face_goes_on(tmp_path, echo):
    """When its loop was closed with it, the calls of the face still work."""
    scheduler = TaskScheduler(db_path=tmp_path / "x.db", graph=echo)

    async def main():
        scheduler.start()

    _loop_that_is_closed(main)
    scheduler.add_task(hourly())
    assert scheduler.trigger_task("hourly")
    assert len(scheduler.list_tasks()) == 1
    scheduler.stop()
    assert not scheduler.scheduler.running


def test_runs_again_on_a_second_asyncio_run(tmp_path, echo):
    """One scheduler serves one `asyncio.run` after the other, although none of them stops it."""
    scheduler = TaskScheduler(db_path=tmp_path / "x.db", graph=echo)

    async def main(number):
        scheduler.start()
        scheduler.add_task(one_time(f"t{number}"))
        await wait_for_runs(scheduler, 1, f"t{number}")

    for number in range(3):
        asyncio.run(main(number))
        assert not scheduler.scheduler.running
    scheduler.stop()
    assert statuses(tmp_path / "x.db") == {"succeeded": 3}


# --- Whole programs, with every warning an error ---


def test_program_that_does_not_await_its_stop(tmp_path):
    """`stop()` in a `finally`, not awaited: running runs are recorded as interrupted, all is closed, exit code 0."""
    run_program(
        tmp_path,
        """
        async def main():
            scheduler = new()
            scheduler.start()
            try:
                scheduler.add_task(once())
                await graph.began.wait()
            finally:
                scheduler.stop()
        asyncio.run(main())
        """,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program.py", "scheduler.db"]
    assert statuses(tmp_path / "scheduler.db") == {"interrupted": 1}


def test_program_that_never_stops(tmp_path):
    """A program that ends without any `stop()` has its runs recorded as interrupted and its store closed."""
    run_program(
        tmp_path,
        """
        async def main():
            scheduler = new()
            scheduler.start()
            scheduler.add_task(once())
            await graph.began.wait()
        asyncio.run(main())
        """,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program.py", "scheduler.db"]
    assert statuses(tmp_path / "scheduler.db") == {"interrupted": 1}


@pytest.mark.parametrize("stop", ["", "scheduler.stop()"])
def test_program_that_ends_before_the_first_pass(tmp_path, stop):
    """A loop that ends before the scheduler had a turn closes the store all the same, and a new loop may follow."""
    run_program(
        tmp_path,
        f"""
        scheduler = new()
        async def main():
            scheduler.start()
            scheduler.add_task(once())
            {stop}
        async def again():
            await scheduler.stop()
        asyncio.run(main())
        assert not scheduler.scheduler.running
        asyncio.run(asyncio.wait_for(again(), 20))
        """
        if not stop
        else f"""
        scheduler = new()
        async def main():
            scheduler.start()
            {stop}
        async def again():
            async with asyncio.timeout(20):
                await scheduler.stop()
        asyncio.run(main())
        assert not scheduler.scheduler.running
        asyncio.run(again())
        """,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program.py", "scheduler.db"]


def test_program_whose_run_ignores_its_cancellation(tmp_path):
    """At the end of `asyncio.run` there is no grace: not even for a run that ignores its cancellation for a while."""
    done = run_program(
        tmp_path,
        """
        import logging, time
        logging.basicConfig()
        class Deaf:
            def __init__(self):
                self.began = asyncio.Event()
            async def ainvoke(self, given, config=None):
                self.began.set()
                for _ in range(2):
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        print("cancelled")
        graph = Deaf()
        async def main():
            scheduler = TaskScheduler(db_path="scheduler.db", graph=graph, shutdown_grace_seconds=3600)
            scheduler.start()
            scheduler.add_task(once())
            await graph.began.wait()
        from scheduler.engine import drain
        drain.CANCEL_PATIENCE = 0.05
        # asyncio.run itself would wait for the second cancellation, which nobody sends: a loop of our own does not.
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        tasks = asyncio.all_tasks(loop)
        supervisor = next(task for task in tasks if task.get_name() == "task scheduler")
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait([supervisor], timeout=20))
        assert supervisor.done()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=20))
        loop.close()
        """,
    )
    assert "is given up" in done.stderr
    assert statuses(tmp_path / "scheduler.db") == {"interrupted": 1}


def test_program_that_ends_while_a_pass_is_in_the_thread(tmp_path):
    """A loop that ends while the store's thread commits a claim waits for it, and puts the run back into the queue."""
    run_program(
        tmp_path,
        """
        import threading
        scheduler = new()
        scheduler.add_task(once(milliseconds=3_600_000))
        scheduler.trigger_task("once")
        claimed = threading.Event()
        go_on = threading.Event()
        run_pass = scheduler._engine._parts.session.run_pass
        def held(*arguments):
            result = run_pass(*arguments)
            claimed.set()
            assert go_on.wait(20)
            return result
        scheduler._engine._parts.session.run_pass = held
        async def main():
            scheduler.start()
            await asyncio.to_thread(claimed.wait)
            asyncio.get_running_loop().call_later(0.01, go_on.set)
        asyncio.run(main())
        assert not graph.began.is_set()
        """,
    )
    assert statuses(tmp_path / "scheduler.db") == {"pending": 1}


def test_program_whose_graph_raises_keyboard_interrupt(tmp_path):
    """Nobody has pressed Ctrl+C: the run fails, and the program continues."""
    run_program(
        tmp_path,
        """
        class Graph:
            async def ainvoke(self, given, config=None):
                raise KeyboardInterrupt
        async def main():
            async with TaskScheduler(db_path="scheduler.db", graph=Graph()) as scheduler:
                scheduler.add_task(once())
                while not scheduler.list_runs(status="failed"):
                    await asyncio.sleep(0.01)
        asyncio.run(main())
        """,
    )
    assert statuses(tmp_path / "scheduler.db") == {"failed": 1}


def test_program_that_exits_with_a_started_scheduler_on_a_loop_never_closed(tmp_path):
    """A program that leaves its loop open and ends has the file closed by then, without a warning of ours."""
    program = tmp_path / "program.py"
    run_program(
        tmp_path,
        """
        loop = asyncio.new_event_loop()
        async def main():
            global scheduler
            scheduler = new()
            scheduler.start()
            await scheduler.scheduler.pass_done.wait()
            await scheduler.stop()
        loop.run_until_complete(main())
        loop.close()
        scheduler.add_task(once(milliseconds=3_600_000))
        """,
    )
    assert program.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program.py", "scheduler.db"]
