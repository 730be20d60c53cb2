"""Sessions are threads: what a run sees of earlier ones, runs that share a thread, and threads of single runs."""

import asyncio

import pytest
from helpers import hourly, one_time, rows, soon, wait_for_runs, wait_until
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from session_kit import Gate, chain, counting

from scheduler import OverlapPolicy, RunStatus, SessionMode


def per_run(task_id="alone", **fields):
    return hourly(task_id, session_mode=SessionMode.PER_RUN, **fields)


def talk(task_id, **fields):
    """Return a task of a session that all of them share."""
    return hourly(task_id, session_id="talk", **fields)


def config(run):
    return {"configurable": {"thread_id": run.thread_id}}


async def triggered(scheduler, task_id):
    """Run a task; return its run when it is over."""
    run_id = scheduler.trigger_task(task_id)
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    return scheduler.get_run(run_id)


async def test_the_second_run_sees_the_messages_of_the_first(scheduler_with):
    """Of the same task, of another one with the same session, and after a restart; not of another session."""
    scheduler = scheduler_with(counting())
    scheduler.add_tasks([talk("hourly"), talk("same"), hourly("other", session_id="other")])
    scheduler.start()
    responses = [(await triggered(scheduler, task)).response for task in ("hourly", "hourly", "same", "other")]
    await scheduler.stop()
    again = scheduler_with(counting())
    again.start()
    responses.append((await triggered(again, "hourly")).response)
    assert responses == ["1", "3", "5", "1", "7"]


@pytest.mark.parametrize(
    ("fields", "thread"),
    [
        ({}, "scheduler-task:t"),
        ({"session_id": "scheduler"}, "scheduler-task:t"),
        ({"session_id": "team"}, "scheduler:team"),
        ({"session_mode": "shared"}, "scheduler:scheduler"),
        ({"session_id": "team", "session_mode": "task"}, "scheduler-task:t"),
        ({"session_id": "team", "session_mode": "shared"}, "scheduler:team"),
    ],
    ids=str,
)
async def test_the_thread_of_a_task(scheduler_with, fields, thread):
    """Its own, unless it names a session or says that it shares one; also when it is read from the store again."""
    scheduler = scheduler_with(counting())
    scheduler.add_task(hourly("t", **fields))
    scheduler.start()
    assert (await triggered(scheduler, "t")).thread_id == thread
    await scheduler.stop()
    again = scheduler_with(counting())
    again.start()
    run = await triggered(again, "t")
    assert (run.thread_id, run.response) == (thread, "3")
    assert again.get_task("t") == hourly("t", **fields)


async def test_tasks_that_name_no_session_do_not_wait_for_one_another(scheduler_with):
    """Nor does one see what another one has said: each has its own conversation, and the input names the session."""
    gate = Gate()
    scheduler = scheduler_with(chain(MessagesState, count=gate).compile())
    scheduler.add_tasks([hourly("one"), hourly("two")])
    scheduler.start()
    runs = [scheduler.trigger_task(name) for name in ("one", "two")]
    await wait_until(lambda: gate.inside == 2, scheduler)
    gate.opened.set()
    await wait_until(lambda: all(scheduler.get_run(each).finished_at for each in runs), scheduler)
    assert [scheduler.get_run(each).response for each in runs] == ["1", "1"]


async def test_a_graph_brings_its_own_saver(new_scheduler):
    """A checkpointer that a graph was compiled with counts like one that the scheduler attaches."""
    scheduler = new_scheduler(counting().copy(update={"checkpointer": InMemorySaver()}))
    scheduler.add_task(hourly())
    scheduler.start()
    assert [(await triggered(scheduler, "hourly")).response for _ in range(2)] == ["1", "3"]


async def test_runs_that_share_a_thread_go_one_at_a_time(scheduler_with):
    """Many tasks on one session, on two schedulers, due and triggered: none runs beside another, no message is lost."""
    gates = [Gate(), Gate()]
    for gate in gates:
        gate.opened.set()
    schedulers = [scheduler_with(chain(MessagesState, count=gate).compile()) for gate in gates]
    gates[1].__dict__ = gates[0].__dict__  # both count together
    schedulers[0].add_tasks([talk(f"t{number}") for number in range(10)])
    queued = [schedulers[0].trigger_task(f"t{number}") for number in range(10)]
    for scheduler in schedulers:
        scheduler.start()
    run_at = soon(100)
    schedulers[0].add_tasks([one_time(f"once{number}", run_at, session_id="talk") for number in range(10)])
    runs = await wait_for_runs(schedulers[0], 20)
    assert {run.status for run in runs} == {RunStatus.SUCCEEDED}
    assert gates[0].most == 1
    assert sorted(int(run.response) for run in runs) == [2 * number + 1 for number in range(20)]
    assert {run.id for run in runs} >= set(queued)


@pytest.mark.parametrize("queued_by_a_face", [True, False])
async def test_a_thread_that_is_taken_holds_nobody_else_up(scheduler_with, queued_by_a_face):
    """However many runs wait for one thread, also those queued by a process that has not started, others begin."""
    gate = Gate()
    scheduler = scheduler_with(chain(MessagesState, count=gate).compile(), max_concurrent_runs=2, poll_interval=60)
    scheduler.add_tasks([talk(f"t{number}") for number in range(12)])
    scheduler.add_task(hourly("other", session_id="other"))
    if not queued_by_a_face:
        scheduler.start()
    held = scheduler.trigger_task("t0")
    waiting = [scheduler.trigger_task(f"t{number}") for number in range(1, 12)]
    other = scheduler.trigger_task("other")
    if queued_by_a_face:
        scheduler.start()
    async with asyncio.timeout(20):
        while scheduler.get_run(other).status is not RunStatus.RUNNING:
            await scheduler.scheduler.pass_done.wait()
    assert scheduler.get_run(held).status is RunStatus.RUNNING
    assert {scheduler.get_run(run_id).status for run_id in waiting} == {RunStatus.PENDING}
    gate.opened.set()
    runs = await wait_for_runs(scheduler, 13)
    assert [run.id for run in sorted(runs, key=lambda run: run.started_at) if run.id in waiting] == waiting


def leave_alone(db_path, task_id):
    with rows(db_path) as connection:
        connection.execute("UPDATE scheduler_tasks SET problem = 'gone' WHERE id = ?", [task_id])


async def test_a_task_that_cannot_be_used_leaves_its_thread_to_others(scheduler_with, db_path):
    """A run of a quarantined task does not block other runs."""
    gate = Gate()
    scheduler = scheduler_with(chain(MessagesState, count=gate).compile())
    scheduler.add_tasks([talk("first"), talk("broken"), talk("last")])
    scheduler.start()
    scheduler.trigger_task("first")
    await gate.entered.wait()
    stuck = scheduler.trigger_task("broken")
    await wait_until(lambda: scheduler.get_run(stuck).status is RunStatus.PENDING, scheduler)
    last = scheduler.trigger_task("last")
    await scheduler.scheduler.pass_done.wait()
    await asyncio.to_thread(leave_alone, db_path, "broken")
    gate.opened.set()
    await wait_until(lambda: scheduler.get_run(last).finished_at, scheduler)
    assert scheduler.get_run(stuck).status is RunStatus.PENDING


async def test_without_a_checkpointer_runs_do_not_wait(new_scheduler):
    """A thread that nobody keeps is no reason to wait."""
    gate = Gate()
    scheduler = new_scheduler(chain(MessagesState, count=gate).compile())
    scheduler.add_tasks([hourly("one"), hourly("two")])
    scheduler.start()
    for task in ("one", "two"):
        scheduler.trigger_task(task)
    await wait_until(lambda: gate.inside == 2, scheduler)


async def test_single_runs_have_threads_of_their_own(scheduler_with):
    """With `per_run` they see nothing of one another, and go side by side where the policy lets them."""
    gate = Gate()
    scheduler = scheduler_with(chain(MessagesState, count=gate).compile())
    scheduler.add_task(per_run(overlap=OverlapPolicy.ALLOW_ALL))
    scheduler.start()
    ids = [scheduler.trigger_task("alone") for _ in range(3)]
    await wait_until(lambda: gate.inside == 3, scheduler)
    gate.opened.set()
    runs = await wait_for_runs(scheduler, 3)
    assert {run.response for run in runs} == {"1"}
    assert {run.thread_id for run in runs} == {f"scheduler:scheduler:{run_id}" for run_id in ids}


# --- Retention ---


async def is_gone(saver, scheduler, run):
    """Wait until the saver has nothing of a run's thread."""
    async with asyncio.timeout(20):
        while await saver.aget_tuple(config(run)) is not None:
            await scheduler.scheduler.pass_done.wait()


async def test_threads_of_single_runs_are_deleted(saver, scheduler_with):
    """After `session_retention`, also when the history has no room for the run; a shared session stays."""
    scheduler = scheduler_with(counting(), history_limit=1)
    scheduler.add_tasks([per_run(session_retention=0.05), per_run("kept"), hourly()])
    scheduler.start()
    alone = [await triggered(scheduler, "alone") for _ in range(3)]
    others = [await triggered(scheduler, task) for task in ("kept", "hourly")]
    for run in alone:
        await is_gone(saver, scheduler, run)
    for run in others:
        assert await saver.aget_tuple(config(run)) is not None


async def test_a_shared_session_is_never_deleted(saver, scheduler_with):
    """A run that was queued while its task shared a session leaves that session, whatever the task says by now."""
    scheduler = scheduler_with(counting())
    scheduler.add_task(talk("alone"))
    run_id = scheduler.trigger_task("alone")
    scheduler.add_task(per_run(session_retention=0.01))
    scheduler.start()
    await wait_until(lambda: scheduler.get_run(run_id).finished_at, scheduler)
    await is_gone(saver, scheduler, await triggered(scheduler, "alone"))
    assert scheduler.get_run(run_id).thread_id == "scheduler:talk"
    assert await saver.aget_tuple(config(scheduler.get_run(run_id))) is not None


class FussySaver(InMemorySaver):
    """Fails to delete the first thread that it is asked to delete."""

    refused = None

    async def adelete_thread(self, thread_id):
        self.refused = self.refused or thread_id
        if thread_id == self.refused:
            message = "not now"
            raise OSError(message)
        await super().adelete_thread(thread_id)


async def test_a_thread_that_cannot_be_deleted_does_not_keep_the_others(new_scheduler, caplog):
    """It is logged once, and tried again later."""
    saver = FussySaver()
    scheduler = new_scheduler(counting(), checkpointer=saver, poll_interval=0.05)
    scheduler.add_task(per_run(session_retention=0.01))
    scheduler.start()
    first = await triggered(scheduler, "alone")
    await wait_until(lambda: saver.refused, scheduler)
    await is_gone(saver, scheduler, await triggered(scheduler, "alone"))
    assert await saver.aget_tuple(config(first)) is not None
    assert caplog.text.count("could not be deleted") == 1


async def test_a_thread_is_deleted_where_it_is_kept(new_scheduler, tmp_path, monkeypatch):
    """By the saver of the graph that the task names, not by the scheduler's."""
    (tmp_path / "own_graph.py").write_text(
        "from langgraph.checkpoint.memory import InMemorySaver\nfrom session_kit import counting\n"
        "saver = InMemorySaver()\ngraph = counting().copy(update={'checkpointer': saver})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import own_graph

    scheduler = new_scheduler(counting(), poll_interval=0.05)
    scheduler.add_task(per_run(graph="own_graph:graph", session_retention=0.01))
    scheduler.start()
    await is_gone(own_graph.saver, scheduler, await triggered(scheduler, "alone"))
