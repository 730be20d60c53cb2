"""Firing, end to end: what is due runs once, is recorded, and nothing that goes wrong stops the rest."""

import asyncio
import logging
import re
import sqlite3
import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from blockbuster import BlockingError
from helpers import (
    PATIENCE,
    BlockingGraph,
    EchoGraph,
    FailingGraph,
    hourly,
    one_time,
    rows,
    soon,
    start_with_claims_ahead,
    statuses,
    steps,
    wait_for_runs,
    wait_until,
)
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from scheduler import RunStatus, TaskDefinition

called = []


async def note(task, result):
    """Stand in for a user's callback."""
    called.append((task.id, result["messages"][-1]))


async def break_off(task, result):
    raise LookupError("callback trouble")


def a_langgraph(*, node=None, saver=None):
    """Return a compiled LangGraph that answers with an echo, or with a node of the test's own."""

    async def echo(state):
        return {"messages": [AIMessage(f"Echo: {state['messages'][-1].text}")]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", node or echo)
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=saver)


async def test_the_guard_works(new_scheduler):
    """These tests notice code of the scheduler that blocks the event loop: a pass that is made on it is caught."""
    scheduler = new_scheduler()
    with pytest.raises(BlockingError):
        scheduler._engine._parts.session.run_pass(0, 1, [], [])


# --- Each kind of schedule ---


@pytest.mark.parametrize("langgraph", [False, True])
async def test_one_time_task(new_scheduler, langgraph):
    """A one-time task runs once, at its instant and not before; it leaves the list and keeps its history."""
    scheduler = new_scheduler(a_langgraph() if langgraph else EchoGraph())
    scheduler.start()
    task = one_time()
    scheduler.add_task(task)
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.response, run.trigger) == (RunStatus.SUCCEEDED, "Echo: Prompt of once", "schedule")
    assert run.scheduled_at == task.run_at
    assert run.scheduled_at <= run.started_at <= run.finished_at
    assert (run.attempt, run.coalesced, run.error) == (1, 0, None)
    assert scheduler.list_tasks() == []
    assert scheduler.get_task("once") == task


async def test_interval_task(new_scheduler, echo):
    """An interval task fires at its anchor and each interval after it, to the microsecond."""
    scheduler = new_scheduler(echo)
    anchor = soon(20)
    scheduler.add_task(hourly(interval_seconds=1, start_at=anchor))
    scheduler.start()
    runs = await wait_for_runs(scheduler, 2)
    assert [run.scheduled_at for run in reversed(runs)][:2] == [anchor, anchor + timedelta(seconds=1)]


async def test_cron_task(new_scheduler, echo):
    """A cron task fires at the minute that its expression names, in its zone."""
    scheduler = new_scheduler(echo)
    before = datetime(2030, 7, 1, 6, 59, 59, 900_000, tzinfo=UTC)
    with time_machine.travel(before):
        task = TaskDefinition(id="daily", name="Daily", task_type="cron", cron_expression="0 9 * * 1", prompt="Go.")
        scheduler.add_task(task.model_copy(update={"timezone": "Europe/Berlin"}))
        assert scheduler.list_tasks()[0]["next_run"] == "2030-07-01 09:00:00+02:00"
        scheduler.start()
        [run] = await wait_for_runs(scheduler, 1)
        assert scheduler.list_tasks()[0]["next_run"] == "2030-07-08 09:00:00+02:00"
        await scheduler.stop()
    assert run.scheduled_at == datetime(2030, 7, 1, 7, tzinfo=UTC)
    assert run.started_at >= run.scheduled_at


async def test_what_the_graph_is_given(new_scheduler, echo):
    """The graph gets the prompt, the session and the metadata as input, and the run's identity in its config."""
    scheduler = new_scheduler(echo)
    scheduler.add_task(one_time(session_id="news", metadata={"city": "Ulm"}))
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    [(given, config)] = echo.calls
    assert given == {
        "messages": [{"role": "user", "content": "Prompt of once"}],
        "session_id": "scheduler:news",
        "metadata": {"channel": "scheduler", "task_id": "once", "task_name": "Once", "city": "Ulm"},
    }
    assert config["configurable"]["thread_id"] == run.thread_id
    assert (config["run_name"], config["tags"]) == ("Once", ["scheduler"])
    assert str(config["run_id"]) != run.id
    assert config["metadata"] == {
        "task_id": "once",
        "scheduler_run_id": run.id,
        "scheduled_at": run.scheduled_at.isoformat(),
    }


async def test_session_of_a_langgraph(new_scheduler):
    """Runs of one session share one LangGraph thread: the second run sees what the first one said."""
    graph = a_langgraph(saver=InMemorySaver())
    scheduler = new_scheduler(graph)
    scheduler.add_task(hourly())
    scheduler.start()
    for number in (1, 2):
        scheduler.trigger_task("hourly")
        await wait_for_runs(scheduler, number)
    thread = {"configurable": {"thread_id": scheduler.list_runs()[0].thread_id}}
    state = await graph.aget_state(thread)
    assert [message.type for message in state.values["messages"]] == ["human", "ai", "human", "ai"]


async def test_trigger(new_scheduler, echo):
    """`trigger_task` runs a task now, also a paused and a finished one, and changes no due time."""
    scheduler = new_scheduler(echo)
    scheduler.add_tasks([hourly(), hourly("paused", enabled=False), one_time()])
    scheduler.start()
    await wait_for_runs(scheduler, 1, "once")
    listed = scheduler.list_tasks()
    ids = {scheduler.trigger_task(task_id) for task_id in ("hourly", "paused", "once")}
    runs = await wait_for_runs(scheduler, 4)
    manual = [run for run in runs if run.trigger == "manual"]
    assert {run.id for run in manual} == ids
    assert {run.status for run in manual} == {RunStatus.SUCCEEDED}
    assert scheduler.list_tasks() == listed


async def test_trigger_waits_for_the_run_that_is_going(new_scheduler, blocking):
    """A triggered run of a busy task waits its turn, and then runs."""
    scheduler = new_scheduler(blocking)
    scheduler.add_task(hourly())
    scheduler.start()
    scheduler.trigger_task("hourly")
    scheduler.trigger_task("hourly")
    await wait_until(lambda: blocking.inside, scheduler)
    await scheduler.scheduler.pass_done.wait()
    assert [run.status for run in scheduler.list_runs()] == [RunStatus.PENDING, RunStatus.RUNNING]
    blocking.release.set()
    await wait_for_runs(scheduler, 2)
    assert blocking.most == 1


# --- Many at once ---


async def test_many_at_one_instant(new_scheduler, db_path):
    """Two hundred tasks due at one instant all run, once each, never more at once than `max_concurrent_runs`."""

    class Counting(EchoGraph):
        inside = most = 0

        async def ainvoke(self, given, config=None):
            self.inside += 1
            self.most = max(self.most, self.inside)
            await steps(20)  # longer than seven starts take
            try:
                return await super().ainvoke(given, config)
            finally:
                self.inside -= 1

    graph = Counting()
    scheduler = new_scheduler(graph, max_concurrent_runs=7)
    due = soon(100)
    scheduler.add_tasks(one_time(f"t{number}", due) for number in range(200))
    scheduler.start()
    runs = await wait_for_runs(scheduler, 200)
    assert {run.scheduled_at for run in runs} == {due}
    assert len({run.task_id for run in runs}) == len(graph.calls) == 200
    assert graph.most == 7
    await scheduler.stop()
    assert statuses(db_path) == {"succeeded": 200}


async def test_full_slots(new_scheduler, blocking):
    """While all slots are taken, the rest stays due: no row is made for it, and it runs when a slot is free."""
    scheduler = new_scheduler(blocking, max_concurrent_runs=2)
    due = soon(20)
    scheduler.add_tasks(one_time(f"t{number}", due) for number in range(5))
    scheduler.start()
    await wait_until(lambda: blocking.inside == 2, scheduler)
    await scheduler.scheduler.pass_done.wait()
    assert len(scheduler.list_runs()) == 2
    still_due = [task["next_run"] for task in scheduler.list_tasks() if task["next_run"] != "running"]
    assert still_due == [str(due)] * 3
    blocking.release.set()
    await wait_for_runs(scheduler, 5)
    assert blocking.most == 2


async def test_full_slots_of_one(new_scheduler, echo):
    """With a single slot everything still runs, one after the other."""
    scheduler = new_scheduler(echo, max_concurrent_runs=1)
    due = soon(20)
    scheduler.add_tasks(one_time(f"t{number}", due) for number in range(20))
    scheduler.start()
    assert len(await wait_for_runs(scheduler, 20)) == 20


async def test_few_transactions(new_scheduler, echo, monkeypatch):
    """Claims and outcomes are written in batches: a hundred runs take far fewer transactions than runs."""
    scheduler = new_scheduler(echo)
    due = soon(50)
    scheduler.add_tasks(one_time(f"t{number}", due) for number in range(100))
    write, transactions = scheduler._store.database.write, []

    def counted(*arguments):
        transactions.append(arguments)
        return write(*arguments)

    monkeypatch.setattr(scheduler._store.database, "write", counted)
    scheduler.start()
    await wait_for_runs(scheduler, 100)
    assert len(transactions) < 30


async def test_committed_before_launch(new_scheduler, db_path):
    """When the graph begins, another connection to the file reads its run as `running`, and no due time is left."""

    class Looking(EchoGraph):
        def look(self, run_id):
            with rows(db_path) as connection:
                run = connection.execute("SELECT * FROM scheduler_runs WHERE id = ?", [run_id]).fetchone()
                task = connection.execute("SELECT * FROM scheduler_tasks").fetchone()
            return run["status"], run["attempt"], task["next_due"]

        async def ainvoke(self, given, config=None):
            self.seen = await asyncio.to_thread(self.look, config["metadata"]["scheduler_run_id"])
            return await super().ainvoke(given, config)

    graph = Looking()
    scheduler = new_scheduler(graph)
    scheduler.add_task(one_time())
    scheduler.start()
    await wait_for_runs(scheduler, 1)
    assert graph.seen == ("running", 1, None)


# --- Overlap, lateness ---


async def test_overlap_skip(new_scheduler, blocking, caplog):
    """A due time that comes while the previous run is running is `skipped`; further ones are counted in its row."""
    scheduler = new_scheduler(blocking)
    scheduler.add_task(hourly(interval_seconds=1, start_at=soon(10)))
    scheduler.start()

    def skipped():
        return sum(run.coalesced + 1 for run in scheduler.list_runs(status="skipped"))

    await wait_until(lambda: skipped() >= 2, scheduler)
    [row] = scheduler.list_runs(status="skipped")
    assert "overlap=skip" in row.error
    assert row.started_at is None
    assert blocking.most == 1
    assert "Hourly (hourly) skipped" in caplog.text
    blocking.release.set()
    await wait_for_runs(scheduler, 3)


async def test_coalesced_after_downtime(new_scheduler, echo):
    """All that passed while nothing ran becomes one run: the latest due time, with the number of the others."""
    with time_machine.travel(datetime.now(UTC) - timedelta(hours=5, minutes=30)):
        new_scheduler(echo).add_task(hourly())
    scheduler = new_scheduler(echo)
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert run.coalesced == 4
    assert timedelta(minutes=29) < run.started_at - run.scheduled_at < timedelta(minutes=31)
    assert len(echo.calls) == 1


async def test_missed_after_downtime(new_scheduler, echo, caplog):
    """What is later than its grace is `missed`: one row for all of it, with the reason, and the graph is not called."""
    with time_machine.travel(datetime.now(UTC) - timedelta(hours=5, minutes=30)):
        new_scheduler(echo).add_task(hourly(misfire_grace_seconds=60))
    scheduler = new_scheduler(echo)
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.coalesced, run.started_at) == (RunStatus.MISSED, 4, None)
    assert "misfire_grace_seconds=60" in run.error
    assert echo.calls == []
    assert "Hourly (hourly) missed: 5 due times" in caplog.text


async def test_each_after_downtime(new_scheduler, echo):
    """Without `coalesce` each due time is judged by itself: those past the grace are missed, the others run in turn."""
    with time_machine.travel(datetime.now(UTC) - timedelta(hours=5, minutes=30)):
        new_scheduler(echo).add_task(
            hourly(misfire_grace_seconds=2 * 3600 + 1800 + 60, coalesce=False, overlap="buffer_all")
        )
    scheduler = new_scheduler(echo)
    scheduler.start()
    runs = await wait_for_runs(scheduler, 4)
    found = sorted((run.scheduled_at, run.status.value, run.coalesced) for run in runs)
    assert [(status, coalesced) for _, status, coalesced in found] == [("missed", 1), *[("succeeded", 0)] * 3]
    assert len(echo.calls) == 3


async def test_one_time_task_after_downtime(new_scheduler, echo):
    """A one-time task whose instant passed while nothing ran runs once at the next start, however late."""
    with time_machine.travel(datetime.now(UTC) - timedelta(days=40)):
        new_scheduler(echo).add_task(one_time(run_at=datetime.now(UTC) + timedelta(days=1)))
    scheduler = new_scheduler(echo)
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert run.status == RunStatus.SUCCEEDED


async def test_added_again_after_its_run(new_scheduler, echo):
    """A one-time task that had its run and is added again with the same instant does not run again."""
    scheduler = new_scheduler(echo)
    task = one_time()
    scheduler.add_task(task)
    scheduler.start()
    await wait_for_runs(scheduler, 1)
    scheduler.add_task(task)
    scheduler.add_task(one_time("other"))
    await wait_for_runs(scheduler, 1, "other")
    assert len(scheduler.list_runs("once")) == 1


# --- What goes wrong ---


@pytest.mark.parametrize("langgraph", [False, True])
async def test_graph_that_raises(new_scheduler, langgraph, caplog):
    """What a graph raises is recorded with type and message, and logged with the ids of task and run."""

    async def node(state):
        raise ValueError("no such city")

    scheduler = new_scheduler(a_langgraph(node=node) if langgraph else FailingGraph())
    scheduler.add_task(one_time())
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.error) == (RunStatus.FAILED, "ValueError: no such city")
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == f"Task Once (once) failed: run {run.id}"
    assert record.exc_info[0] is ValueError


@pytest.mark.parametrize("langgraph", [False, True])
async def test_timeout(new_scheduler, langgraph, caplog):
    """A run that takes longer than `timeout_seconds` is cancelled and recorded as timed out."""

    async def node(state):
        await asyncio.Event().wait()

    scheduler = new_scheduler(a_langgraph(node=node) if langgraph else BlockingGraph())
    scheduler.add_task(one_time(timeout_seconds=0.05))
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.error) == (RunStatus.TIMED_OUT, "TimeoutError: longer than timeout_seconds=0.05")
    assert f"Task Once (once) timed out after 0.05 s: run {run.id}" in caplog.text


async def test_timeout_error_of_the_graph_itself(new_scheduler):
    """A TimeoutError that the graph raises is a failure of the graph, not the task's time-out."""
    scheduler = new_scheduler(FailingGraph(TimeoutError("the model")))
    scheduler.add_task(one_time(timeout_seconds=60))
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.error) == (RunStatus.FAILED, "TimeoutError: the model")


async def test_graph_that_cancels_itself(new_scheduler):
    """A graph that raises CancelledError by itself ends as `cancelled`, and the next task runs."""
    scheduler = new_scheduler(FailingGraph(asyncio.CancelledError()))
    scheduler.add_task(one_time())
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.error) == (RunStatus.CANCELLED, "the graph cancelled itself")


async def test_callback(new_scheduler):
    """The callback is awaited with the task and the graph's whole result."""
    called.clear()
    scheduler = new_scheduler()
    scheduler.add_task(one_time(result_callback=f"{__name__}.note"))
    scheduler.start()
    await wait_for_runs(scheduler, 1)
    assert called == [("once", {"role": "assistant", "content": "Echo: Prompt of once"})]


async def test_callback_that_raises(new_scheduler, caplog):
    """A callback that raises does not make the run a failure; it is logged and recorded."""
    scheduler = new_scheduler()
    scheduler.add_task(one_time(result_callback=f"{__name__}.break_off"))
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.status, run.error) == (RunStatus.SUCCEEDED, "result_callback: LookupError: callback trouble")
    assert run.response == "Echo: Prompt of once"
    assert "Task Once (once): result_callback failed" in caplog.text


async def test_response_in_the_log(new_scheduler, caplog):
    """The log has the first 200 characters of the response; never the prompt's rest, nor the metadata."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)

    class Answer(EchoGraph):
        async def ainvoke(self, given, config=None):
            return {"messages": [AIMessage("x" * 300)]}

    scheduler = new_scheduler(Answer())
    scheduler.add_task(one_time(prompt="a secret prompt", metadata={"key": "a secret value"}))
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert f"Task Once completed. Response: {'x' * 200}" in lines
    assert run.response == "x" * 300
    assert "secret" not in caplog.text


async def test_failures_do_not_log_the_prompt(new_scheduler, failing, caplog):
    """Not even a failure logs the prompt or the metadata."""
    caplog.set_level(logging.DEBUG)
    scheduler = new_scheduler(failing)
    scheduler.add_task(one_time(prompt="a secret prompt", metadata={"key": "a secret value"}))
    scheduler.start()
    await wait_for_runs(scheduler, 1)
    assert "secret" not in caplog.text


async def test_broken_row(new_scheduler, echo, db_path, caplog):
    """A stored definition that cannot be read is quarantined, with a line in the log, and the others run."""
    scheduler = new_scheduler(echo)
    due = soon(50)
    scheduler.add_tasks([one_time("broken", due), one_time("whole", due)])
    with rows(db_path) as connection:
        connection.execute("UPDATE scheduler_tasks SET definition = '{}' WHERE id = 'broken'")
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.task_id, run.status) == ("whole", RunStatus.SUCCEEDED)
    [listed] = scheduler.list_tasks()
    assert (listed["id"], listed["definition"]) == ("broken", None)
    assert listed["next_run"].startswith("error: ")
    assert "Task broken is quarantined until it is added again" in caplog.text


async def test_task_whose_graph_is_gone(new_scheduler, echo, tmp_path, monkeypatch, caplog):
    """A task whose graph cannot be imported any more waits, and runs when it can be again; the others run."""
    (tmp_path / "gone_graph.py").write_text("from helpers import EchoGraph\ngraph = EchoGraph()\n")
    monkeypatch.syspath_prepend(tmp_path)
    scheduler = new_scheduler(echo)
    due = soon(100)
    scheduler.add_tasks([one_time("gone", due, graph="gone_graph:graph"), one_time("whole", due)])
    monkeypatch.delattr("gone_graph.graph")
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert (run.task_id, run.status) == ("whole", RunStatus.SUCCEEDED)
    await wait_until(lambda: scheduler.list_tasks()[0]["problem"], scheduler)
    [listed] = scheduler.list_tasks()
    assert listed["next_run"] == f"error: {listed['problem']}"
    assert re.fullmatch(
        r"cannot be loaded here: graph='gone_graph:graph': module .* has no graph; .*", listed["problem"]
    )
    [line] = [line for line in caplog.messages if line.startswith(f"Task gone {listed['problem']}")]
    assert line.endswith("(left to other processes, and tried again from time to time)")
    monkeypatch.undo()
    assert scheduler.check_tasks() == {}
    [run, _] = await wait_for_runs(scheduler, 2)
    assert (run.task_id, run.status, run.scheduled_at) == ("gone", RunStatus.SUCCEEDED, due)
    assert "Task gone can be loaded here again" in caplog.messages


async def test_pass_that_fails_unforeseen(new_scheduler, echo, caplog):
    """An unexpected error in a pass is logged once, loses no outcome, and the next pass continues."""
    scheduler = new_scheduler(echo)
    run_pass, failures = (
        scheduler._engine._parts.session.run_pass,
        iter([ZeroDivisionError("first"), ZeroDivisionError("second")]),
    )

    def failing_at_first(*arguments):
        for error in failures:
            raise error
        return run_pass(*arguments)

    scheduler._engine._parts.session.run_pass = failing_at_first
    scheduler.add_task(one_time())
    scheduler.start()
    [run] = await wait_for_runs(scheduler, 1)
    assert run.status == RunStatus.SUCCEEDED
    assert caplog.text.count("A pass failed") == 1


async def test_trigger_of_another_function_that_raises(new_scheduler, echo, caplog):
    """A job of the user's own whose trigger raises does not keep the tasks from running."""
    from apscheduler.triggers.base import BaseTrigger

    class Broken(BaseTrigger):
        def get_next_fire_time(self, previous_fire_time, now):
            if previous_fire_time is None:
                return now
            raise ZeroDivisionError("a trigger of the user's own")

    scheduler = new_scheduler(echo)
    scheduler.start()
    scheduler.scheduler.add_job(print, Broken(), args=[""], id="broken")
    await wait_until(lambda: "trigger of the user's own" in caplog.text, scheduler)
    scheduler.add_tasks([one_time("a"), one_time("b")])
    runs = await wait_for_runs(scheduler, 2)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}


# --- A database that is locked ---


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
async def test_locked_database(new_scheduler, echo, db_path, lock, caplog):
    """While another program holds the database, the loop and other functions continue; it is logged once."""
    scheduler = new_scheduler(echo)
    scheduler.start()
    ticks = []
    scheduler.scheduler.add_job(lambda: ticks.append(1), "interval", seconds=0.02, id="tick")
    await wait_until(lambda: ticks, scheduler)
    scheduler.add_task(one_time(run_at=soon(100)))
    with rows(db_path) as connection:
        connection.execute(lock)
        await wait_until(lambda: "The store cannot be used" in caplog.text, scheduler)
        seen = len(ticks)
        await scheduler.scheduler.pass_done.wait()
        assert len(ticks) > seen
        assert echo.calls == []
        connection.execute("ROLLBACK")
    [run] = await wait_for_runs(scheduler, 1)
    assert run.status == RunStatus.SUCCEEDED
    assert caplog.text.count("The store cannot be used") == 1
    assert caplog.text.count("The store can be used again") == 1


async def test_outcome_that_could_not_be_written(new_scheduler, blocking, db_path, caplog):
    """An outcome that comes while the database is locked is kept, and written when it can be."""
    scheduler = new_scheduler(blocking)
    scheduler.add_task(one_time())
    scheduler.start()
    await wait_until(lambda: blocking.inside, scheduler)
    with rows(db_path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        blocking.release.set()
        await wait_until(lambda: "The store cannot be used" in caplog.text, scheduler)
        assert connection.execute("SELECT status FROM scheduler_runs").fetchall()[0][0] == "running"
        connection.execute("ROLLBACK")
    [run] = await wait_for_runs(scheduler, 1)
    assert run.status == RunStatus.SUCCEEDED


async def test_claimed_runs_start_while_the_database_is_locked(new_scheduler, blocking, db_path, monkeypatch):
    """Runs that were claimed ahead begin one after the other though no outcome can be written; later, all are."""
    scheduler = new_scheduler(blocking, max_concurrent_runs=2)
    start_with_claims_ahead(scheduler, 8, monkeypatch)
    await wait_until(lambda: blocking.inside == 2, scheduler)
    with rows(db_path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        blocking.release.set()
        await wait_until(lambda: len(blocking.calls) == 8 and not blocking.inside, scheduler)
        assert [row["status"] for row in connection.execute("SELECT status FROM scheduler_runs")] == ["running"] * 8
        connection.execute("ROLLBACK")
    await wait_until(lambda: len(scheduler.list_runs(status="succeeded")) == 8, scheduler)
    assert blocking.most == 2


async def test_slow_transaction_of_another_thread(new_scheduler, echo):
    """While another thread of the program is inside a transaction, the loop continues."""
    scheduler = new_scheduler(echo)
    scheduler.start()
    await scheduler.scheduler.pass_done.wait()
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with scheduler._store.database.write():
            inside.set()
            assert leave.wait(PATIENCE)

    holding = asyncio.get_running_loop().run_in_executor(None, hold)
    await asyncio.to_thread(inside.wait, PATIENCE)
    scheduler.scheduler.wakeup()
    await steps(100)
    assert scheduler.scheduler.get_jobs() == []
    leave.set()
    await holding
    scheduler.add_task(one_time())
    await wait_for_runs(scheduler, 1)


async def test_changes_by_another_program(new_scheduler, echo, db_path):
    """What another process adds to the file is noticed and runs."""
    scheduler, other = new_scheduler(echo, poll_interval=0.05), new_scheduler(FailingGraph())
    scheduler.start()
    await scheduler.scheduler.pass_done.wait()
    await asyncio.to_thread(other.add_task, one_time())
    [run] = await wait_for_runs(scheduler, 1)
    assert run.status == RunStatus.SUCCEEDED


async def test_duplicate_start_is_impossible(new_scheduler, echo, db_path):
    """The schema itself refuses a second scheduled run of one due time."""
    scheduler = new_scheduler(echo)
    scheduler.add_task(one_time())
    scheduler.start()
    await wait_for_runs(scheduler, 1)
    with rows(db_path) as connection:
        row = dict(connection.execute("SELECT * FROM scheduler_runs").fetchone())
        row.update(id="other", seq=row["seq"] + 1)
        statement = f"INSERT INTO scheduler_runs ({', '.join(row)}) VALUES ({', '.join('?' for _ in row)})"
        with pytest.raises(sqlite3.IntegrityError, match="scheduled_at"):
            connection.execute(statement, list(row.values()))


async def test_two_schedulers_on_one_file(new_scheduler):
    """Two schedulers on one file share the work: each of a hundred tasks runs once."""
    first, second = EchoGraph(), EchoGraph()
    schedulers = [new_scheduler(graph, poll_interval=0.05, max_concurrent_runs=3) for graph in (first, second)]
    due = soon(200)
    schedulers[0].add_tasks(one_time(f"t{number}", due) for number in range(100))
    for scheduler in schedulers:
        scheduler.start()
    runs = await wait_for_runs(schedulers[0], 100)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    ids = [given["metadata"]["task_id"] for given, _ in first.calls + second.calls]
    assert len(ids) == len(set(ids)) == 100
